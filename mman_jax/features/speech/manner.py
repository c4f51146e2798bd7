"""How somebody speaks, in words: each turn against the same speaker's own median."""

import numpy as np

from mman_jax.features import manner
from mman_jax.features.manner import Measure
from mman_jax.features.speech import functionals

_SET = "egemaps"

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


def compare(measured: np.ndarray) -> list[list[str]]:
    """What each of N turns is next to the median one, [N, 88] of `measure`."""
    return manner.compare(values(measured), MEASURES)


def values(measured: np.ndarray) -> np.ndarray:
    """Those of `MEASURES`, [N, K], among what `measure` gives of N turns."""
    names = list(functionals.opensmile_extractor(_SET).feature_names)
    return measured[:, [names.index(one.feature) for one in MEASURES]]
