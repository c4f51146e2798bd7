"""How somebody speaks, in words: each turn against the same speaker's own median."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.features.speech import functionals

_SET = "egemaps"
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


MEASURES = (
    Measure("loudness_sma3_amean", "quieter", "louder", 0.1),
    Measure("F0semitoneFrom27.5Hz_sma3nz_amean", "lower", "higher", 1.0),
    Measure("VoicedSegmentsPerSec", "slower", "faster", 0.3),
    Measure("F0semitoneFrom27.5Hz_sma3nz_stddevNorm", "more even", "more varied", 0.03),
)
"""Loudness, pitch (semitones), voiced stretches a second, and how much the pitch varies."""


def measure(samples: np.ndarray) -> np.ndarray:
    """All that eGeMAPS measures of one turn, [88] float32.

    Args:
        samples: [samples] float32 at 16 kHz.

    Raises:
        InputError: the `opensmile` package is missing, or the sound is too short.
    """
    return functionals.functionals(samples, _SET)


def chosen(measured: np.ndarray) -> np.ndarray:
    """The values [N, K] of `MEASURES`, of N of what `measure` gives."""
    names = list(functionals.opensmile_extractor(_SET).feature_names)
    return measured[:, [names.index(one.feature) for one in MEASURES]]


def compare(values: np.ndarray, measures: Sequence[Measure] = MEASURES) -> list[list[str]]:
    """What each of N turns of one speaker is, next to that speaker's median turn.

    A difference is told where it is larger than one can be by chance, the median absolute deviation
    as the measure, and large enough to be noticed. Fewer than three are compared with nothing.

    Args:
        values: [N, K]; NaN: not known of that turn.
        measures: K, what the values are.

    Examples:
        >>> turns = np.array([[0.5, 30, 2, 0.1]] * 4 + [[0.9, 30.5, 2, 0.1]])
        >>> turns[:4, 0] += [0, 0.05, -0.03, 0.05]
        >>> compare(turns)
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
