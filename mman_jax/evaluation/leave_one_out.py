"""Linear classifiers trained on few examples, and their leave-one-out predictions."""

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

_PENALTY = 1.0
"""Strength of the L2 penalty, relative to the sum of losses; it is not tuned."""

_FITS = 400
"""Approximate number of classifiers that are fitted to shuffled labels, in a few seconds."""


class Linear(NamedTuple):
    """Class probabilities as the softmax of a linear function of scaled features.

    Attributes:
        mean: [D], mean of the examples.
        scale: [D], divisor of each feature.
        weights: [D + 1, C]; the last row holds the biases.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Computes the probabilities [N, C] of features [N, D]."""
        return scipy.special.softmax(self._rows(features) @ self.weights, axis=1)

    def _rows(self, features: np.ndarray) -> np.ndarray:
        scaled = (features - self.mean) / self.scale
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)


def fit(features: np.ndarray, labels: np.ndarray, classes: int) -> Linear:
    """Fits a logistic regression with an L2 penalty to features [N, D] and labels [N] from 0."""
    examples = np.asarray(features, np.float64)
    scale = examples.std(0)
    # Dividing by the root of D gives the sum of the features the variance of a single one.
    scale = np.where(scale > 0, scale, 1) * np.sqrt(examples.shape[1])
    empty = Linear(examples.mean(0), scale, np.zeros((examples.shape[1] + 1, classes)))
    rows, one_hot = empty._rows(examples), np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, classes)
        logits = rows @ weights
        penalised = weights * np.r_[np.ones(len(weights) - 1), 0][:, None]
        summed = scipy.special.logsumexp(logits, axis=1).sum() - (one_hot * logits).sum()
        slope = rows.T @ (scipy.special.softmax(logits, axis=1) - one_hot) + _PENALTY * penalised
        return summed + _PENALTY / 2 * (penalised**2).sum(), slope.ravel()

    start = np.zeros(empty.weights.size)
    solution = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B")
    return empty._replace(weights=solution.x.reshape(-1, classes))


def left_out(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Predicts the probabilities [N, C] of each example by a classifier fitted to the others."""
    others = ~np.eye(len(labels), dtype=bool)
    return np.concatenate(
        [
            fit(features[rest], labels[rest], classes).probabilities(features[~rest])
            for rest in others
        ]
    )


def by_chance(features: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Computes the mean number of N examples that are right if labels are shuffled.

    With few examples it is lower than the frequencies of the classes suggest: leaving out an
    example makes its class rarer among the others. With more examples, fewer shuffles are used.
    """
    random = np.random.default_rng(0)
    right = []
    for _ in range(int(np.clip(_FITS // len(labels), 5, 100))):
        shuffled = random.permutation(labels)
        right.append((left_out(features, shuffled, classes).argmax(1) == shuffled).sum())
    return float(np.mean(right))


def interval(right: int, count: int) -> tuple[float, float]:
    """Computes Wilson's 95 % interval of the share `right` / `count`.

    It assumes independent answers. Leave-one-out answers are not, and with few examples the share
    is biased downwards.
    """
    bounds = scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
