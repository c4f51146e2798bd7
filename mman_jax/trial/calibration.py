"""Calibration of a trained system: its temperature and reliability bins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.evaluation import calibration

PARTS = ("validation", "test")
Answered = tuple[np.ndarray, np.ndarray]


def of_answers(valid: Answered, test: Answered) -> dict[str, Any]:
    """Fits the temperature to the validation part, and computes the reliability of both parts.

    Args:
        valid: labels [N] and logits [S, N, C] of the validation part, by networks that were not
            trained on it.
        test: labels and logits of the test part.

    Returns:
        `temperature`; and for `validation` and `test` the bins [K, 3] of the seeds' mean
        probabilities `before` and `after` division by it, see
        `mman_jax.evaluation.calibration.reliability`.
    """
    from scipy.special import softmax  # takes long to import

    parts = dict(zip(PARTS, (valid, test), strict=True))
    means = {
        part: (labels, softmax(logits.astype(np.float64), axis=-1).mean(0))
        for part, (labels, logits) in parts.items()
    }
    labels, mean = means["validation"]
    temperature = calibration.fit_temperature(mean, labels)
    result: dict[str, Any] = {"temperature": temperature}
    for part, (labels, mean) in means.items():
        tempered = calibration.temper(mean, temperature)
        result[part] = {
            "before": calibration.reliability(mean, labels).tolist(),
            "after": calibration.reliability(tempered, labels).tolist(),
        }
    return result


def pooled(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pools the results of `of_answers` over folds: summed bins and the mean temperature."""
    temperatures = [fold["temperature"] for fold in folds]
    result: dict[str, Any] = {"temperature": float(np.mean(temperatures)), "per_fold": temperatures}
    for part in PARTS:
        result[part] = {
            when: np.sum([fold[part][when] for fold in folds], axis=0).tolist()
            for when in ("before", "after")
        }
    return result


def errors(told: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Computes a part's expected calibration errors `before` and `after` the `temperature`."""
    result = {
        when: calibration.expected_calibration_error(bins) for when, bins in told[part].items()
    }
    result["temperature"] = told["temperature"]
    return result | ({"per_fold": told["per_fold"]} if "per_fold" in told else {})
