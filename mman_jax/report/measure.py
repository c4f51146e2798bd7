"""The score that a report tells systems by, and how it is written: of classes, and of numbers."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mman_jax.evaluation.metrics import names as score_names
from mman_jax.report.numbers import number, percent, points, spread


@dataclasses.dataclass(frozen=True)
class Measure:
    """A score.

    Attributes:
        key: as results have it.
        called: in a table's head.
        said: in a sentence.
        unit: what follows it there.
        value: writes it, without its unit.
        difference: writes how much better one system is than another.
        better: what that difference is, in a sentence.
        shown: the key of the score that an epoch picked on the test part is told by.
    """

    key: str
    called: str
    said: str
    unit: str
    value: Callable[[float | None], str]
    difference: Callable[[float | None], str]
    better: str
    shown: str

    def spread(self, score: Mapping[str, Any] | None) -> str:
        """Mean ± deviation over the seeds."""
        return spread(score, self.value)

    def gain(self, score: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        """How much better the mean of the first is."""
        sign = -1 if self.key == "mae" else 1
        return sign * (score["mean"] - other["mean"])


def of(results: Mapping[str, Any]) -> Measure:
    """That of a report's results."""
    if results.get("targets"):
        return Measure(
            "mae", "MAE", "mean absolute error", "", number, number,
            "the second system's absolute errors less the first's", "ccc",
        )  # fmt: skip
    return Measure(
        "accuracy", score_names(results["protocol"])["accuracy"], "accuracy", " in per cent",
        percent, points, "the first system's accuracy less the second's, in points", "accuracy",
    )  # fmt: skip
