"""How far probabilities can be believed, and one temperature that mends them.

After Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML 2017). There
the temperature divides one network's logits; here the answer is the mean of several networks'
probabilities, and it is this mean that is tempered. So its most probable class stays what it was.

N utterances, C classes, K bins.
"""

import numpy as np

from mman_jax.types import UNSCORED, Array

BINS = 15
"""Bins of confidence, equally wide, from 0 to 1."""

LIMITS = (0.1, 10.0)
"""The temperatures that may be fitted: few utterances, all answered right, would call for 0."""


def temper(probabilities: Array, temperature: float) -> Array:
    """Probabilities [..., C] to the power 1 / temperature, divided by their sum.

    For a single network that is the softmax of its logits divided by the temperature. A temperature
    of 1 changes nothing, to the bit; one above 1 makes answers less sure.

    Examples:
        Powers of 2: 0.64 and 0.04 of 0.68.

        >>> temper(np.array([0.8, 0.2]), 0.5).round(4).tolist()
        [0.9412, 0.0588]
    """
    if temperature == 1:
        return probabilities
    # The highest becomes 1 first, so that no power leaves nothing to divide by.
    powers = (probabilities / probabilities.max(-1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, within `LIMITS`, of the lowest mean cross-entropy on some utterances.

    The loss is convex in 1 / temperature, so that its derivative has one zero.

    Args:
        probabilities: [N, C], of utterances that no network was trained on.
        labels: [N] int, `UNSCORED` where there is none.

    Returns:
        The temperature; 1 where nothing is scored, or all classes are always equally probable.

    Examples:
        Nine of ten are right, but each answer claims 99 %: 0.9 / 0.1 = (0.99 / 0.01) ** (1 / T).

        >>> claimed = np.tile([0.99, 0.01], (10, 1))
        >>> round(fit_temperature(claimed, np.array([0] * 9 + [1])), 4)
        2.0913
    """
    scored = np.asarray(labels) != UNSCORED
    given, true = np.asarray(probabilities, np.float64)[scored], np.asarray(labels)[scored]
    logs = np.log(np.maximum(given, np.finfo(np.float64).tiny))
    if not np.ptp(logs, axis=-1).any():
        return 1.0
    wanted = logs[np.arange(len(true)), true].mean()

    def slope(inverse: float) -> float:
        scaled = inverse * (logs - logs.max(-1, keepdims=True))
        weights = np.exp(scaled)
        return float(((weights * logs).sum(-1) / weights.sum(-1)).mean() - wanted)

    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(low) >= 0:
        return LIMITS[1]
    if slope(high) <= 0:
        return LIMITS[0]
    import scipy.optimize  # takes long, and few commands need it

    return 1 / scipy.optimize.brentq(slope, low, high)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What each bin of confidence holds, [K, 3] float64: utterances, their confidences' sum, right.

    An answer's confidence is the probability of its class; bin k of K holds those above k / K, up
    to and with (k + 1) / K. Sums, so that those of several parts add up.

    Args:
        probabilities: [N, C].
        labels: [N] int, `UNSCORED` where there is none.
    """
    scored = np.asarray(labels) != UNSCORED
    given = np.asarray(probabilities, np.float64)[scored]
    confidence = given.max(-1)
    right = given.argmax(-1) == np.asarray(labels)[scored]
    which = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    columns = (np.ones(len(which)), confidence, right)
    return np.stack([np.bincount(which, column, BINS) for column in columns], axis=-1)


def expected_calibration_error(bins: np.ndarray) -> float:
    """The expected calibration error, a share from 0 to 1, from what `reliability` gave [K, 3].

    The distance between a bin's mean confidence and its share of right answers, averaged over the
    bins with their utterances as weights; 0 where there are none.

    Examples:
        Ten answers in one bin, 90 % sure in the mean, eight of them right.

        >>> bins = np.zeros((BINS, 3))
        >>> bins[13] = [10, 9.0, 8]
        >>> round(expected_calibration_error(bins), 4)
        0.1
    """
    bins = np.asarray(bins, np.float64)
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(bins[:, 0].sum(), 1))
