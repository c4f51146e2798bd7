"""A linear classifier of few examples, and how right it is on each that it has not seen."""

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

_PENALTY = 1.0
"""Of each weight's square, half, beside the sum of losses: chosen beforehand, never by results."""

_FITS = 400
"""How many classifiers all shuffles may take together: some seconds of work."""


class Linear(NamedTuple):
    """Class probabilities as the softmax of a linear function of scaled features.

    Attributes:
        mean: [D], of the examples.
        scale: [D], what a feature is divided by.
        weights: [D + 1, C], the last row a class's own.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """[N, C] of features [N, D]."""
        return scipy.special.softmax(self._rows(features) @ self.weights, axis=1)

    def _rows(self, features: np.ndarray) -> np.ndarray:
        scaled = (features - self.mean) / self.scale
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)


def fit(features: np.ndarray, labels: np.ndarray, classes: int) -> Linear:
    """Multinomial logistic regression with a penalty on weights, for fewer examples than features.

    Args:
        features: [N, D] of finite numbers.
        labels: [N] int, from 0.
        classes: C.
    """
    examples = np.asarray(features, np.float64)
    scale = examples.std(0)
    # Divided by the root of D, too: the sum of features then varies as one of them does.
    scale = np.where(scale > 0, scale, 1) * np.sqrt(examples.shape[1])
    empty = Linear(examples.mean(0), scale, np.zeros((examples.shape[1] + 1, classes)))
    rows, goal = empty._rows(examples), np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, classes)
        logits = rows @ weights
        penalised = weights * np.r_[np.ones(len(weights) - 1), 0][:, None]
        summed = scipy.special.logsumexp(logits, axis=1).sum() - (goal * logits).sum()
        slope = rows.T @ (scipy.special.softmax(logits, axis=1) - goal) + _PENALTY * penalised
        return summed + _PENALTY / 2 * (penalised**2).sum(), slope.ravel()

    start = np.zeros(empty.weights.size)
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B")
    return empty._replace(weights=found.x.reshape(-1, classes))


def left_out(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The probabilities [N, C] of each of N examples by what `fit` makes of all others."""
    others = ~np.eye(len(labels), dtype=bool)
    return np.concatenate(
        [
            fit(features[rest], labels[rest], classes).probabilities(features[~rest])
            for rest in others
        ]
    )


def by_chance(features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0) -> float:
    """How many of N are right on average where labels are shuffled, so that nothing can be learnt.

    With few examples that is less than one would guess: what is left out of a class makes that
    class rarer among the others.

    Args:
        features: [N, D].
        labels: [N] int, from 0.
        classes: C.
        seed: of the shuffles, of which there are fewer the more examples there are.
    """
    random = np.random.default_rng(seed)
    right = []
    for _ in range(int(np.clip(_FITS // len(labels), 5, 100))):
        shuffled = random.permutation(labels)
        right.append((left_out(features, shuffled, classes).argmax(1) == shuffled).sum())
    return float(np.mean(right))


def interval(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `count` were seen (Wilson's).

    It takes them as independent; what leaves one of few out is not, and errs downwards.
    """
    found = scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
