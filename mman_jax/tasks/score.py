"""Scores: their names, directions and formats."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float | None, digits: int = 1) -> str:
    """Writes a share in per cent, without the sign."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def points(difference: float | None, digits: int = 2) -> str:
    """Writes a difference of two shares in percentage points, with its sign."""
    if difference is None:
        return NONE
    text = f"{100 * difference:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def number(value: float | None, digits: int = 3) -> str:
    """Writes a number in its own unit."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def spread(
    score: Mapping[str, Any] | None, write: Callable[[float], str] = percent, interval: bool = False
) -> str:
    """Writes mean ± deviation over the seeds, in per cent by default; for one seed, only the value.

    The deviation over folds follows, if there are folds; or, with `interval`, the interval.
    """
    if score is None:
        return NONE
    if interval and "interval" in score:
        ends = ", ".join(write(end) for end in score["interval"])
        of_seeds = {name: score[name] for name in ("mean", "std", "per_seed")}
        return f"{spread(of_seeds, write)} [{ends}]"
    deviation = f" ± {write(score['std'])}" if len(score["per_seed"]) > 1 else ""
    folds = f" (folds ± {write(score['std_folds'])})" if "std_folds" in score else ""
    return write(score["mean"]) + deviation + folds


def over_seeds(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Returns mean, sample deviation (0 for one seed) and the values themselves."""
    array = np.asarray(values, np.float64)
    deviation = array.std(ddof=1) if len(array) > 1 else 0.0
    return {"mean": float(array.mean()), "std": float(deviation), "per_seed": array.tolist()}


@dataclasses.dataclass(frozen=True)
class Score:
    """A score of a task.

    Attributes:
        key: its name in `results.json`.
        label: its name in the head of a table.
        phrase: its name in a sentence.
        is_share: whether it is written in per cent rather than in its own unit.
        higher_is_better: whether higher values are better.
        difference: description of a difference of two systems, in a sentence.
        is_brief: whether narrow tables show it, or only results and comparisons by it.
    """

    key: str
    label: str
    phrase: str = ""
    is_share: bool = True
    higher_is_better: bool = True
    difference: str = ""
    is_brief: bool = True

    @property
    def unit(self) -> str:
        """The unit, for use after the name in a sentence."""
        return " in per cent" if self.is_share else ""

    @property
    def factor(self) -> float:
        """The factor by which values are multiplied when they are written or drawn."""
        return 100.0 if self.is_share else 1.0

    def write(self, value: float | None) -> str:
        """Writes a value without its unit."""
        return percent(value) if self.is_share else number(value)

    def write_gain(self, value: float | None, digits: int | None = None) -> str:
        """Writes how much better one system is than another."""
        if self.is_share:
            return points(value, 2 if digits is None else digits)
        return number(value, 3 if digits is None else digits)

    def write_spread(self, score: Mapping[str, Any] | None, interval: bool = False) -> str:
        """Writes mean ± deviation over the seeds, see `spread`."""
        return spread(score, self.write, interval)

    def gain(self, score: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        """Returns how much better the mean of the first is."""
        sign = 1 if self.higher_is_better else -1
        return sign * (score["mean"] - other["mean"])
