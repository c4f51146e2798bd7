"""Verbal descriptions of voice and face in turns, relative to the speaker's other turns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.features.speech import prosody
from mman_jax.features.visual import windows

RATE = 3.0
"""Pictures per second in which faces are detected."""

SIDE = 240
"""Pixels of the shorter side of these pictures."""

UNSEEN = np.full(2, np.nan)
"""The values of a turn without a detected face; see `measure_face`."""

_NO_FACE = "no face seen"
_FURTHEST = 1.0  # largest movement of a face between two pictures, in sides
_FEWEST = 3  # smallest number of turns with a median
_PLAIN, _STRONG = 1.0, 2.5  # robust deviations
_NORMAL = 1.4826  # standard deviation / median absolute deviation of a normal distribution


class Measure(NamedTuple):
    """A feature of a voice or a face, with its descriptions."""

    feature: str  # name of the feature; for speech, in `prosody.NAMES`
    less: str  # description of a turn whose value is well below the median
    more: str  # description of a turn whose value is well above the median
    least: float  # an unnoticeable difference, in the feature's unit


VOICE = (
    Measure("energy_p80", "quieter", "louder", 1.5),
    Measure("pitch_mean", "lower", "higher", 1.0),
    Measure("peaks_per_second", "slower", "faster", 0.3),
    Measure("pitch_deviation", "more even", "more varied", 0.7),
)
"""Energy (dB), pitch (semitones), peaks of loudness per second, and variation of the pitch."""

FACE = (
    Measure("side", "further away", "closer", 0.02),
    Measure("movement", "stiller", "livelier", 0.1),
)
"""Size of the face as a share of the picture's height, and movement in sides per second."""


def voice_values(measured: np.ndarray) -> np.ndarray:
    """Selects the values [N, 4] of `VOICE` among the features [N, D] `prosody.NAMES` of N turns.

    The pitch is NaN where no voice is heard.
    """
    values = measured[:, [prosody.NAMES.index(measure.feature) for measure in VOICE]].astype(float)
    pitched = [measure.feature.startswith("pitch") for measure in VOICE]
    values[np.ix_(values[:, pitched.index(True)] == 0, pitched)] = np.nan
    return values


def measure_face(frames: np.ndarray) -> np.ndarray:
    """Measures the values [2] of `FACE` for the largest face of one turn.

    The values are NaN if less than half of the frames [F, H, W, 3] uint8, at `RATE` per second,
    have a face.

    Raises:
        InputError: OpenCV, which detects faces, is missing.
    """
    largest = []
    for number, frame in enumerate(frames):
        faces = windows.faces(frame)
        if faces:
            largest.append((number, *max(faces, key=lambda face: face[2])))
    if 2 * len(largest) < len(frames) or not largest:
        return UNSEEN
    numbers, left, top, side = np.array(largest, float).T
    centres = np.stack([left, top], axis=1) + side[:, None] / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.median(side)
    moved, seconds = steps[steps <= _FURTHEST].sum(), (numbers[-1] - numbers[0]) / RATE
    return np.array([np.median(side) / frames.shape[1], moved / seconds if seconds else np.nan])


def describe_voices(measured: np.ndarray, speakers: Sequence[str] | None = None) -> list[list[str]]:
    """Describes N turns, relative to the median turn of their speaker.

    Args:
        measured: [N, D] of `prosody.statistics`.
        speakers: speaker of each turn; an empty name is unknown, and not described. None: all turns
            have one speaker.
    """
    values, names = voice_values(measured), np.array(speakers or [" "] * len(measured))
    described: list[list[str]] = [[] for _ in names]
    for name in set(names.tolist()) - {""}:
        rows = np.flatnonzero(names == name)
        for row, words in zip(rows, compare(values[rows], VOICE), strict=True):
            described[row] = words
    return described


def describe_faces(values: np.ndarray) -> list[list[str]]:
    """Describes N turns, [N, 2] of `measure_face`, relative to the median turn."""
    unseen = np.isnan(values).all(1)
    described = zip(unseen, compare(values, FACE), strict=True)
    return [[_NO_FACE] if lost else words for lost, words in described]


def compare(values: np.ndarray, measures: Sequence[Measure]) -> list[list[str]]:
    """Describes each of N turns of one speaker, relative to that speaker's median turn.

    A difference of `values` [N, K], NaN where unknown, is reported if it is large compared with the
    median absolute deviation, and large enough to be noticed. Fewer than three turns are not
    described.

    Examples:
        >>> turns = np.array([[-50, 30, 4, 2.0]] * 4 + [[-40, 30.5, 4, 2.0]])
        >>> turns[:4, 0] += [0, 0.5, -0.3, 0.5]
        >>> compare(turns, VOICE)
        [[], [], [], [], ['much louder']]
    """
    deviations = np.array(values, float)
    for column, measure in zip(deviations.T, measures, strict=True):
        known = np.isfinite(column)
        if known.sum() < _FEWEST:
            column[:] = np.nan
            continue
        column -= np.median(column[known])
        column /= max(_NORMAL * np.median(np.abs(column[known])), measure.least)
    return [
        [
            "much " * bool(abs(deviation) > _STRONG)
            + (measure.more if deviation > 0 else measure.less)
            for measure, deviation in zip(measures, row, strict=True)
            if abs(deviation) > _PLAIN
        ]
        for row in deviations
    ]
