"""How somebody speaks or looks, in words: each turn against the recording's own median."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FEWEST = 3  # turns that make a median
_PLAIN, _STRONG = 1.0, 2.5  # robust deviations
_NORMAL = 1.4826  # the deviation of a normal distribution over its median absolute deviation


class Measure(NamedTuple):
    """One side of how somebody speaks, or looks.

    Attributes:
        feature: its name; of speech, of eGeMAPS.
        less: what a turn is whose value is well below the median.
        more: what it is well above.
        least: a difference that nobody notices, in the feature's unit.
    """

    feature: str
    less: str
    more: str
    least: float


def compare(values: np.ndarray, measures: Sequence[Measure]) -> list[list[str]]:
    """What each of N turns of one speaker is, next to that speaker's median turn.

    A difference is told where it is larger than one can be by chance, the median absolute deviation
    as the measure, and large enough to be noticed. Fewer than three are compared with nothing.

    Args:
        values: [N, K]; NaN: not known of that turn.
        measures: K, what the values are.

    Examples:
        >>> from mman_jax.features.speech.manner import MEASURES
        >>> turns = np.array([[0.5, 30, 2, 0.1]] * 4 + [[0.9, 30.5, 2, 0.1]])
        >>> turns[:4, 0] += [0, 0.05, -0.03, 0.05]
        >>> compare(turns, MEASURES)
        [[], [], [], [], ['much louder']]
    """
    away = np.array(values, float)
    for column, one in zip(away.T, measures, strict=True):
        known = np.isfinite(column)
        if known.sum() < _FEWEST:
            column[:] = np.nan
            continue
        column -= np.median(column[known])
        column /= max(_NORMAL * np.median(np.abs(column[known])), one.least)
    return [
        [
            "much " * bool(abs(far) > _STRONG) + (one.more if far > 0 else one.less)
            for one, far in zip(measures, row, strict=True)
            if abs(far) > _PLAIN
        ]
        for row in away
    ]
