"""What utterances are rated on: the field's scales of sentiment, and the classes cut from them.

A scale is cut into cells so fine that every class that the field tells apart is a union of cells.
On the scale from -3 to 3 (CMU-MOSI, CMU-MOSEI) a value is clipped and rounded, halves to the even
number; on that from -1 to 1 (CH-SIMS) it is cut at fixed edges. Both as MMSA scores them.
"""

import dataclasses
from typing import Any

import numpy as np

SEVEN, SIMS = "-3..3", "-1..1"

CELLS = 9
"""Cells of a scale, at most."""

# The edges between cells, ascending, and whether a value on the edge is in the upper cell.
_EDGES = {
    SEVEN: (
        (-2.5, True), (-1.5, False), (-0.5, True), (0.0, True),
        (0.0, False), (0.5, False), (1.5, True), (2.5, False),
    ),
    SIMS: ((-0.7, False), (-0.1, False), (0.0, False), (0.1, False), (0.7, False)),
}  # fmt: skip

LEFT_OUT = -1
"""The class of a cell that is not told apart: exact zeros, where these are left out."""

# The class of each cell, by how many classes there are.
_CLASSES = {
    SEVEN: {
        2: (0, 0, 0, 0, LEFT_OUT, 1, 1, 1, 1),
        3: (0, 0, 0, 0, 1, 2, 2, 2, 2),
        5: (0, 0, 1, 2, 2, 2, 3, 4, 4),
        7: (0, 1, 2, 3, 3, 3, 4, 5, 6),
    },
    SIMS: {2: (0, 0, 0, 1, 1, 1), 3: (0, 0, 1, 1, 2, 2), 5: (0, 1, 2, 2, 3, 4)},
}
_NAMES = {
    2: ("negative", "positive"),
    3: ("negative", "neutral", "positive"),
    5: ("-2", "-1", "0", "1", "2"),
    7: ("-3", "-2", "-1", "0", "1", "2", "3"),
}
_SIMS_NAMES = {5: ("negative", "weakly negative", "neutral", "weakly positive", "positive")}


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that utterances are rated by.

    Attributes:
        name: of the corpus's `targets`.
        scale: `-3..3`, `-1..1`, or empty: a scale on which no classes are told apart.
        centre: about the middle of its values; sums are taken about it, so that none is large.
        spread: about their deviation, above 0; sums are in units of it.
    """

    name: str
    scale: str
    centre: float
    spread: float


def target(name: str, values: np.ndarray) -> Target:
    """What a target's values [N] float32 are, NaN left out; at least one must be a number.

    The scale is known by the values: those within -1 to 1, or else within -3 to 3, that lie on both
    sides of zero are sentiment's. Of all others (1 to 5, 0 to 1, 0 to 3) no classes are told.

    Examples:
        >>> target("sentiment", np.array([-2.0, 0.5, np.nan], np.float32)).scale
        '-3..3'
        >>> target("valence", np.array([1.0, 5.0], np.float32))
        Target(name='valence', scale='', centre=3.0, spread=2.0)
    """
    known = values[~np.isnan(values)].astype(np.float64)
    low, high = known.min(), known.max()
    scale = ""
    if low < 0 < high and max(-low, high) <= 3:
        scale = SIMS if max(-low, high) <= 1 else SEVEN
    return Target(name, scale, float(known.mean()), float(known.std()) or 1.0)


def cells(values: Any, scale: str) -> Any:
    """The cell of each value [...], an array of NumPy or JAX: int32 from 0.

    Examples:
        >>> cells(np.array([-9.0, -0.5, 0.0, 0.5, 1.5], np.float32), "-3..3").tolist()
        [0, 3, 4, 5, 7]
    """
    found = (values != values).astype("int32") * 0
    for edge, upper in _EDGES[scale]:
        found = found + (values >= edge if upper else values > edge)
    return found


def counts(scale: str) -> tuple[int, ...]:
    """How many classes may be cut from a scale."""
    return tuple(_CLASSES.get(scale, ()))


def class_names(scale: str, count: int) -> tuple[str, ...]:
    """What the classes of a scale are called, in order."""
    return (_SIMS_NAMES if scale == SIMS else {}).get(count, _NAMES[count])


def classes(values: np.ndarray, scale: str, count: int) -> np.ndarray:
    """The class [N] int32 of each value [N] float32; `LEFT_OUT` of NaN, and where none is told.

    Of `-3..3`: 7 are the values clipped to ±3 and rounded, 5 those clipped to ±2 and rounded
    (halves to the even number), 3 the signs, 2 the signs without the zeros, which have no class. Of
    `-1..1`: 5 are cut at -0.7, -0.1, 0.1 and 0.7, 3 at -0.1 and 0.1, 2 at 0, an edge in the lower
    class.

    Examples:
        >>> rated = np.array([-3.0, -0.4, 0.0, 0.5, 2.6, np.nan], np.float32)
        >>> classes(rated, "-3..3", 7).tolist(), classes(rated, "-3..3", 2).tolist()
        ([0, 3, 3, 3, 6, -1], [0, 0, -1, 1, 1, -1])
    """
    told = np.array(_CLASSES[scale][count], np.int32)[cells(values, scale)]
    return np.where(np.isnan(values), np.int32(LEFT_OUT), told)
