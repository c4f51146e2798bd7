"""How sure a score and a difference of scores are. NumPy and SciPy only.

S seeds, N utterances.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000

_AT_ONCE = 500  # resamples whose sums are in memory


class Difference(NamedTuple):
    """How much higher a score is of one system than of another.

    Attributes:
        mean: the difference of the scores; of accuracies a share from -1 to 1.
        low: where the 95 % interval begins, a percentile of the bootstrap.
        high: where it ends.
        p: two-sided, of the bootstrap: how often chance alone would turn the sign.
    """

    mean: float
    low: float
    high: float
    p: float


def seed_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean over seeds, by Student's t; the mean itself for one seed."""
    scores = np.asarray(values, np.float64)
    mean = float(scores.mean())
    if len(scores) < 2 or not scores.std():
        return mean, mean
    # `scipy.stats.t.ppf` by what it calls: `scipy.stats` takes half a second to import.
    from scipy.special import stdtrit

    half = stdtrit(len(scores) - 1, (1 + LEVEL) / 2) * scores.std(ddof=1)
    half /= np.sqrt(len(scores))
    return float(mean - half), float(mean + half)


def vote(answers: np.ndarray, classes: int) -> np.ndarray:
    """The answers [S, N] int of all seeds as one, [N]: what most gave, the first class of equals.

    Raises:
        AssertionError: if the answers do not have two axes.

    Examples:
        >>> vote(np.array([[0, 1, 2], [0, 1, 1], [1, 1, 0]]), classes=3).tolist()
        [0, 1, 0]
    """
    chex.assert_rank(answers, 2)
    counts = (np.asarray(answers)[..., None] == np.arange(classes)).sum(0)
    return counts.argmax(-1)


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test on two systems' answers to the same utterances.

    Utterances count as independent, which those of one conversation are not: `bootstrap` says how
    much that matters.

    Args:
        first: [N] bool, whether the first system was right.
        second: the same of the second.

    Returns:
        How many the first alone had right, the second alone, and the two-sided p-value.

    Raises:
        AssertionError: if the shapes disagree.

    Examples:
        Of five utterances on which they differ the first has all right: 2 / 2 ** 5.

        >>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1])
        (5, 0, 0.0625)
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    chex.assert_equal_shape([first, second])
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 0, 0, 1.0
    import scipy.stats  # takes long, and few commands need it

    test = scipy.stats.binomtest(only_first, only_first + only_second)
    return only_first, only_second, float(test.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for how many there are, so that they bound the chance of any mistake.

    Holm's step-down procedure (1979): of k values the smallest counts k times, the next one k - 1
    times, and so on; none becomes smaller than one before it, nor larger than 1. No assumption is
    made on how the tests depend on each other.

    Args:
        p: k values.

    Returns:
        The corrected ones, in the order given.

    Examples:
        3 * 0.01; then 2 * 0.03, which is more than the 0.04 of the last, and so its own, too.

        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()


def bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    conversations: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The difference of two systems' accuracies, by resampling conversations and seeds.

    Conversations are drawn, not utterances: those of one conversation are not independent. Each
    system's seeds are drawn too, so that the interval holds for other seeds and conversations.

    Args:
        first: [S, N] bool, whether each seed of the first system was right.
        second: the same of the second; its S may differ.
        conversations: [N], which conversation each utterance is of.
        resamples: how many.
        seed: of the resampling.

    Raises:
        AssertionError: if the axes disagree.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    chex.assert_rank([first, second], 2)
    chex.assert_equal_shape_suffix([first, second, np.asarray(conversations)], 1)
    _, which, sizes = np.unique(conversations, return_inverse=True, return_counts=True)
    right = [_sum_by(x, which, len(sizes)) for x in (first, second)]
    random = np.random.default_rng(seed)
    drawn = _draw(random, len(sizes), resamples)
    means = []
    for counts in right:
        weights = _draw(random, len(counts), resamples) / len(counts)
        means.append(np.einsum("rs,sv,rv->r", weights, counts, drawn, optimize=True))
    differences = (means[0] - means[1]) / (drawn @ sizes)
    return _difference(first.mean() - second.mean(), differences)


def bootstrap_score(
    score: Callable[[np.ndarray], np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The same of any score that is made of sums over utterances, such as a correlation.

    Args:
        score: of sums [..., *K], one value [...] each.
        first: [S, V, *K], the sums of each seed of the first system over each of V conversations.
        second: the same of the second; its S may differ.
        resamples: how many.
        seed: of the resampling.

    Raises:
        AssertionError: if the axes disagree.
    """
    systems = [np.asarray(x, np.float64) for x in (first, second)]
    chex.assert_equal_shape([x[0] for x in systems])
    random = np.random.default_rng(seed)
    # Whole numbers are multiplied far slower.
    drawn = _draw(random, systems[0].shape[1], resamples).astype(np.float64)
    means = []
    for sums in systems:
        seeds = len(sums)
        weights = _draw(random, seeds, resamples) / seeds
        flat = np.moveaxis(sums, 1, 0).reshape(drawn.shape[1], -1)
        pieces = [
            score((drawn[at : at + _AT_ONCE] @ flat).reshape(-1, seeds, *sums.shape[2:]))
            for at in range(0, resamples, _AT_ONCE)
        ]
        means.append((weights * np.concatenate(pieces)).sum(1))
    first_mean, second_mean = (score(sums.sum(1)).mean() for sums in systems)
    return _difference(first_mean - second_mean, means[0] - means[1])


def _draw(random: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    """How often [resamples, count] each of so many is drawn, with replacement."""
    return random.multinomial(count, np.full(count, 1 / count), resamples)


def _difference(mean: float, resampled: np.ndarray) -> Difference:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (len(resampled) + 1))
    return Difference(float(mean), float(low), float(high), float(p))


def _sum_by(values: np.ndarray, which: np.ndarray, groups: int) -> np.ndarray:
    sums = np.zeros((len(values), groups))
    np.add.at(sums.T, which, values.T)
    return sums
