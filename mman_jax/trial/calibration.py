"""How sure a trained system is, and of how much it is right: a temperature, and bins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.evaluation import calibration

PARTS = ("validation", "test")
Answered = tuple[np.ndarray, np.ndarray]


def of_answers(valid: Answered, test: Answered) -> dict[str, Any]:
    """The temperature that validation calls for, and the reliability of both parts by it.

    Args:
        valid: labels [N] and logits [S, N, C] of the validation part, of networks that were not
            trained on it.
        test: the same of the test part.

    Returns:
        `temperature`; and `before` and `after` it for `validation` and `test`: bins [K, 3], see
        `mman_jax.evaluation.calibration.reliability`, of the mean of the seeds' probabilities.
    """
    from scipy.special import softmax  # takes long: after training

    several = dict(zip(PARTS, (valid, test), strict=True))
    means = {
        part: (labels, softmax(logits.astype(np.float64), axis=-1).mean(0))
        for part, (labels, logits) in several.items()
    }
    labels, mean = means["validation"]
    temperature = calibration.fit_temperature(mean, labels)
    found: dict[str, Any] = {"temperature": temperature}
    for part, (labels, mean) in means.items():
        tempered = calibration.temper(mean, temperature)
        found[part] = {
            "before": calibration.reliability(mean, labels).tolist(),
            "after": calibration.reliability(tempered, labels).tolist(),
        }
    return found


def pooled(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `of_answers` gave of every fold as one: bins added up, and the mean temperature."""
    temperatures = [fold["temperature"] for fold in folds]
    found: dict[str, Any] = {"temperature": float(np.mean(temperatures)), "per_fold": temperatures}
    for part in PARTS:
        found[part] = {
            when: np.sum([fold[part][when] for fold in folds], axis=0).tolist()
            for when in ("before", "after")
        }
    return found


def errors(told: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The expected calibration errors of a part, `before` and `after` the `temperature`."""
    found = {
        when: calibration.expected_calibration_error(bins) for when, bins in told[part].items()
    }
    found["temperature"] = told["temperature"]
    return found | ({"per_fold": told["per_fold"]} if "per_fold" in told else {})
