"""Confidence intervals of scores, and paired tests of systems. NumPy and SciPy only.

S seeds, N utterances.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000

_AT_ONCE = 500  # resamples whose sums are in memory at a time
_DRAWS = 20_000_000  # limit on the draws of all resamples, which take a few seconds


class Difference(NamedTuple):
    """The difference between two systems' scores.

    Attributes:
        mean: the difference of the scores; for accuracies, a share from -1 to 1.
        low: lower end of the 95 % bootstrap interval.
        high: upper end.
        p: two-sided p-value of the bootstrap.
    """

    mean: float
    low: float
    high: float
    p: float

    def about(self) -> dict[str, Any]:
        """Returns its fields in `results.json`."""
        interval = [self.low, self.high]
        return {"difference": self.mean, "interval": interval, "p_bootstrap": self.p}


def seed_interval(values: Sequence[float]) -> tuple[float, float]:
    """Computes the 95 % interval of the mean over seeds by Student's t; (mean, mean) for one
    seed."""
    scores = np.asarray(values, np.float64)
    mean = float(scores.mean())
    if len(scores) < 2 or not scores.std():
        return mean, mean
    # The function behind `scipy.stats.t.ppf`; importing `scipy.stats` takes half a second.
    from scipy.special import stdtrit

    half = stdtrit(len(scores) - 1, (1 + LEVEL) / 2) * scores.std(ddof=1)
    half /= np.sqrt(len(scores))
    return float(mean - half), float(mean + half)


def vote(answers: np.ndarray, classes: int) -> np.ndarray:
    """Returns the majority answer [N] of the seeds' answers [S, N] int; ties go to the first class.

    Examples:
        >>> vote(np.array([[0, 1, 2], [0, 1, 1], [1, 1, 0]]), classes=3).tolist()
        [0, 1, 0]
    """
    chex.assert_rank(answers, 2)
    counts = (np.asarray(answers)[..., None] == np.arange(classes)).sum(0)
    return counts.argmax(-1)


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Computes McNemar's exact test on two systems' answers to the same utterances.

    The test assumes independent utterances, which those of one conversation are not; `bootstrap`
    resamples speakers or conversations instead.

    Args:
        first: [N] bool, whether the first system was right.
        second: the same for the second.

    Returns:
        The number of utterances on which only the first system is right, that of the second, and
        the two-sided p-value.

    Examples:
        The systems differ on five utterances, and the first is right on all: 2 / 2 ** 5.

        >>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1])
        (5, 0, 0.0625)
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    chex.assert_equal_shape([first, second])
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 0, 0, 1.0
    import scipy.stats  # slow to import, and few commands need it

    test = scipy.stats.binomtest(only_first, only_first + only_second)
    return only_first, only_second, float(test.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Corrects p-values for multiple tests, to bound the probability of any false positive.

    Holm's step-down procedure (1979): the smallest of k values is multiplied by k, the next one by
    k - 1, and so on; none becomes smaller than the one before it, nor larger than 1. The tests may
    depend on each other in any way.

    Returns:
        The corrected values, in the same order.

    Examples:
        The values are 3 * 0.01, 2 * 0.03, and 0.04, which is raised to the one before it.

        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()


def interval(resampled: np.ndarray) -> np.ndarray:
    """Returns the ends [2, ...] of the 95 % percentile interval of resampled scores [R, ...]."""
    return np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)


def limit(units: int, resamples: int = RESAMPLES) -> int:
    """Returns the number of resamples for V units, which is smaller for many thousand units."""
    return min(resamples, max(_AT_ONCE, _DRAWS // units))


class Resamples:
    """Units of a test part, such as speakers, drawn with replacement.

    Scores of several systems on the same resamples are paired.
    """

    def __init__(self, units: int, resamples: int = RESAMPLES, seed: int = 0):
        """Draws the units.

        Args:
            resamples: R, see `limit`.
        """
        self._random = np.random.default_rng(seed)
        resamples = limit(units, resamples)
        sizes = [min(_AT_ONCE, resamples - at) for at in range(0, resamples, _AT_ONCE)]
        draws = [_draw(self._random, units, size).astype(np.uint16) for size in sizes]
        self.counts = np.concatenate(draws)
        """How often each unit is drawn, [R, V] uint16."""

    def seeds(self, seeds: int) -> np.ndarray:
        """Draws the seeds of a system; returns their weights [R, S], which sum to 1."""
        return _draw(self._random, seeds, len(self.counts)) / seeds

    def scores(self, score: Callable[[np.ndarray], np.ndarray], sums: np.ndarray) -> np.ndarray:
        """Computes a system's scores [R, ...], whose seeds are resampled as well.

        Args:
            score: returns the score or scores [..., *M] of sums [..., *K].
            sums: [S, V, *K], the sums of each seed over the utterances of each unit.
        """
        seeds, units, *shape = sums.shape
        weights = self.seeds(seeds)
        flat = np.moveaxis(np.asarray(sums, np.float64), 1, 0).reshape(units, -1)
        means = []
        for at in range(0, len(weights), _AT_ONCE):
            # Matrix products of integers are far slower.
            counts = self.counts[at : at + _AT_ONCE].astype(np.float64)
            scores = score((counts @ flat).reshape(-1, seeds, *shape))
            chunk = weights[at : at + _AT_ONCE].reshape(-1, seeds, *[1] * (scores.ndim - 2))
            means.append((chunk * scores).sum(1))
        return np.concatenate(means)


def bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    units: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Computes the difference of two systems' accuracies by resampling units and seeds.

    Speakers or conversations are resampled rather than utterances, because utterances of the same
    speaker or conversation are not independent. Each system's seeds are resampled as well, so that
    the interval covers other seeds and units.

    Args:
        first: [S, N] bool, whether each seed of the first system was right.
        second: the same for the second; its S may differ.
        units: [N], the unit of each utterance, such as its speaker.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    chex.assert_rank([first, second], 2)
    chex.assert_equal_shape_suffix([first, second, np.asarray(units)], 1)
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    right = [_sum_by(x, unit, len(sizes)) for x in (first, second)]
    drawn = Resamples(len(sizes), resamples, seed)
    samples = drawn.counts.astype(np.float64)
    means = []
    for counts in right:
        weights = drawn.seeds(len(counts))
        means.append(np.einsum("rs,sv,rv->r", weights, counts, samples, optimize=True))
    differences = (means[0] - means[1]) / (samples @ sizes)
    return _difference(first.mean() - second.mean(), differences)


def bootstrap_score(
    score: Callable[[np.ndarray], np.ndarray], first: np.ndarray, second: np.ndarray
) -> Difference:
    """Computes the difference of any score of sums over utterances, such as a correlation.

    Args:
        score: returns the score [...] of sums [..., *K].
        first: [S, V, *K], the sums of each seed of the first system over each of V units.
        second: the same for the second; its S may differ.
    """
    systems = [np.asarray(x, np.float64) for x in (first, second)]
    chex.assert_equal_shape([x[0] for x in systems])
    drawn = Resamples(systems[0].shape[1])
    resampled = [drawn.scores(score, sums) for sums in systems]
    first_mean, second_mean = (score(sums.sum(1)).mean() for sums in systems)
    return _difference(first_mean - second_mean, resampled[0] - resampled[1])


def _draw(random: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    """Returns how often each of `count` items is drawn with replacement, [resamples, count]."""
    return random.multinomial(count, np.full(count, 1 / count), resamples)


def _difference(mean: float, resampled: np.ndarray) -> Difference:
    low, high = interval(resampled).tolist()
    tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (len(resampled) + 1))
    return Difference(float(mean), low, high, float(p))


def _sum_by(values: np.ndarray, index: np.ndarray, groups: int) -> np.ndarray:
    sums = np.zeros((len(values), groups))
    np.add.at(sums.T, index, values.T)
    return sums
