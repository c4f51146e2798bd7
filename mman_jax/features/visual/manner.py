"""How a face is in the picture, in words: each turn against the recording's own median."""

import numpy as np

from mman_jax.features import manner
from mman_jax.features.manner import Measure
from mman_jax.features.visual import windows

RATE = 3.0
"""Pictures a second in which a face is looked for."""

SIDE = 240
"""Pixels of their shorter side."""

MEASURES = (
    Measure("side", "further away", "closer", 0.02),
    Measure("movement", "stiller", "livelier", 0.1),
)
"""The face's share of the picture's height; its sides moved a second."""

UNSEEN = np.full(2, np.nan)
"""The values of a turn in which there is no face."""

_NO_FACE = "no face seen"
_FURTHEST = 1.0  # sides between two pictures: beyond that it is another face


def measure(frames: np.ndarray) -> np.ndarray:
    """The values [2] of `MEASURES` of the largest face of one turn; NaN: too rarely seen to tell.

    Args:
        frames: [F, H, W, 3] uint8, `RATE` a second.

    Raises:
        InputError: OpenCV, which finds faces, is missing.
    """
    seen = []
    for number, frame in enumerate(frames):
        faces = windows.faces(frame)
        if faces:
            seen.append((number, *max(faces, key=lambda face: face[2])))
    if 2 * len(seen) < len(frames) or not seen:
        return UNSEEN
    number, left, top, side = np.array(seen, float).T
    centres = np.stack([left, top], axis=1) + side[:, None] / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.median(side)
    moved, seconds = steps[steps <= _FURTHEST].sum(), (number[-1] - number[0]) / RATE
    return np.array([np.median(side) / frames.shape[1], moved / seconds if seconds else np.nan])


def compare(values: np.ndarray) -> list[list[str]]:
    """What each of N turns is next to the median one, [N, 2] of `measure`."""
    said = manner.compare(values, MEASURES)
    unseen = np.isnan(values).all(1)
    return [[_NO_FACE] if lost else own for lost, own in zip(unseen, said, strict=True)]
