"""Calibration of probabilities: reliability, and a temperature that corrects them.

The method follows Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML
2017). Their temperature divides one network's logits; here it tempers the mean of several networks'
probabilities, so that the most probable class does not change.

N utterances, C classes, K bins.
"""

import numpy as np

from mman_jax.types import UNSCORED, Array

BINS = 15
"""Number of bins of confidence, equally wide, from 0 to 1."""

LIMITS = (0.1, 10.0)
"""Bounds of the fitted temperature; if all utterances are predicted correctly, the optimum is 0."""


def temper(probabilities: Array, temperature: float) -> Array:
    """Raises probabilities [..., C] to the power 1 / temperature, and normalises them.

    For a single network, this is the softmax of its logits divided by the temperature. A
    temperature of 1 returns the probabilities as they are; one above 1 lowers the confidence.

    Examples:
        Powers of 2: 0.64 and 0.04 of 0.68.

        >>> temper(np.array([0.8, 0.2]), 0.5).round(4).tolist()
        [0.9412, 0.0588]
    """
    if temperature == 1:
        return probabilities
    # The highest is scaled to 1 first, so that the sum of the powers cannot be 0.
    powers = (probabilities / probabilities.max(-1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature within `LIMITS` that minimises the mean cross-entropy.

    The loss is convex in 1 / temperature, so that its derivative has a single zero.

    Args:
        probabilities: [N, C], of utterances that no network was trained on.
        labels: [N] int, `UNSCORED` for utterances without a label.

    Returns:
        The temperature; 1 if no utterance is scored, or all classes are always equally probable.

    Examples:
        Nine of ten predictions are right, but each has a confidence of 99 %. The temperature T
        solves 0.9 / 0.1 = (0.99 / 0.01) ** (1 / T).

        >>> claimed = np.tile([0.99, 0.01], (10, 1))
        >>> round(fit_temperature(claimed, np.array([0] * 9 + [1])), 4)
        2.0913
    """
    scored = np.asarray(labels) != UNSCORED
    predicted, true = np.asarray(probabilities, np.float64)[scored], np.asarray(labels)[scored]
    logs = np.log(np.maximum(predicted, np.finfo(np.float64).tiny))
    if not np.ptp(logs, axis=-1).any():
        return 1.0
    target = logs[np.arange(len(true)), true].mean()

    def slope(inverse: float) -> float:
        scaled = inverse * (logs - logs.max(-1, keepdims=True))
        weights = np.exp(scaled)
        return float(((weights * logs).sum(-1) / weights.sum(-1)).mean() - target)

    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(low) >= 0:
        return LIMITS[1]
    if slope(high) <= 0:
        return LIMITS[0]
    import scipy.optimize  # slow to import, and few commands need it

    return 1 / scipy.optimize.brentq(slope, low, high)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sums the bins [K, 3] of probabilities [N, C]: utterances, confidences, correct predictions.

    A prediction's confidence is the probability of its class; bin k of K holds confidences above
    k / K and up to (k + 1) / K. The sums of several parts can be added.
    """
    scored = np.asarray(labels) != UNSCORED
    predicted = np.asarray(probabilities, np.float64)[scored]
    confidence = predicted.max(-1)
    right = predicted.argmax(-1) == np.asarray(labels)[scored]
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    columns = (np.ones(len(bins)), confidence, right)
    return np.stack([np.bincount(bins, column, BINS) for column in columns], axis=-1)


def expected_calibration_error(bins: np.ndarray) -> float:
    """Computes the expected calibration error, from 0 to 1, from the bins [K, 3] of `reliability`.

    It is the distance between a bin's mean confidence and its accuracy, averaged over the bins and
    weighted by their utterances; 0 without utterances.

    Examples:
        Ten predictions in one bin, with a mean confidence of 90 %; eight are right.

        >>> bins = np.zeros((BINS, 3))
        >>> bins[13] = [10, 9.0, 8]
        >>> round(expected_calibration_error(bins), 4)
        0.1
    """
    bins = np.asarray(bins, np.float64)
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(bins[:, 0].sum(), 1))
