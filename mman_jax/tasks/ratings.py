"""Scores of numbers and the scales of sentiment, from one vector of sums per target.

Sums are exact under padding, and add up over batches, devices and folds.

T targets. A target's K sums are the number of utterances that have it; the absolute errors of the
answers, and of the training part's mean in their place; of the answers x and the targets y, about
the target's centre and in units of its spread, x, y, xx, yy and xy; and the counts of cells [9, 9],
rows the true one.

A scale is cut into cells so fine that every class of the field is a union of cells. On the scale
from -3 to 3 (CMU-MOSI, CMU-MOSEI) a value is clipped and rounded, halves to the even number; on
that from -1 to 1 (CH-SIMS) it is cut at fixed edges. Both are scored as in MMSA.

Scores on the scale from -3 to 3 (`SEVEN`):
- `acc2_with_zero`, `f1_with_zero`: at least 0, or below it; every utterance.
- `acc2_without_zero`, `f1_without_zero`: above 0, or not; without those rated exactly 0.
- `acc3`, `acc5`, `acc7`: clipped to ±1, ±2 or ±3 and rounded, halves to the even number.
On the scale from -1 to 1 (`SIMS`): `acc2_sims` and `f1_sims` cut at 0, `acc3_sims` at ±0.1,
`acc5_sims` at ±0.1 and ±0.7, an edge in the lower class. F1 is weighted by how often a class
occurs. On every scale: `mae`, the mean absolute error in the target's own units; `pearson_r`; and
`ccc`, Lin's concordance 2 cov(x, y) / (var x + var y + (mean x - mean y)^2), with the variances
over N.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np

from mman_jax.tasks.metrics import accuracy, weighted_f1
from mman_jax.types import Array

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
_CLASSES: dict[str, dict[int, tuple[int, ...]]] = {
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

K = 8 + CELLS**2
"""Sums of a target."""

MEASURES = ("mae", "pearson_r", "ccc")
"""The scores that every target has."""

# The class of each cell: of a true value, LEFT_OUT where it is not scored, and of an answer.
_GROUPS: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    SEVEN: {
        "2_with_zero": ((0, 0, 0, 0, 1, 1, 1, 1, 1),) * 2,
        "2_without_zero": (
            (0, 0, 0, 0, LEFT_OUT, 1, 1, 1, 1),
            (0, 0, 0, 0, 0, 1, 1, 1, 1),
        ),
        "3": ((0, 0, 0, 1, 1, 1, 2, 2, 2),) * 2,
        "5": ((0, 0, 1, 2, 2, 2, 3, 4, 4),) * 2,
        "7": ((0, 1, 2, 3, 3, 3, 4, 5, 6),) * 2,
    },
    SIMS: {
        "2_sims": ((0, 0, 0, 1, 1, 1),) * 2,
        "3_sims": ((0, 0, 1, 1, 2, 2),) * 2,
        "5_sims": ((0, 1, 2, 2, 3, 4),) * 2,
    },
}
_SCORE_NAMES = {
    "mae": "MAE",
    "pearson_r": "r",
    "ccc": "CCC",
    "acc2_with_zero": "Acc2 (≥0)",
    "f1_with_zero": "F1 (≥0)",
    "acc2_without_zero": "Acc2 (no 0)",
    "f1_without_zero": "F1 (no 0)",
    "acc3": "Acc3",
    "acc5": "Acc5",
    "acc7": "Acc7",
    "acc2_sims": "Acc2 (>0)",
    "f1_sims": "F1 (>0)",
    "acc3_sims": "Acc3 (±0.1)",
    "acc5_sims": "Acc5 (±0.1, ±0.7)",
}


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


def class_counts(scale: str) -> tuple[int, ...]:
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


def names(scored: Sequence[str]) -> dict[str, str]:
    """What tables call scores, of those that there are."""
    return {name: called for name, called in _SCORE_NAMES.items() if name in scored}


def is_share(name: str) -> bool:
    """Whether a score, of numbers or of classes, is told in per cent."""
    return name not in MEASURES


def sums(answers: Array, targets: Array, mean: Array, about: Sequence[Target]) -> Array:
    """The sums [T, K] float32 of answers to some utterances.

    Args:
        answers: [..., T] float32, in the targets' own units.
        targets: [..., T] float32, NaN: not scored.
        mean: [T] float32, of the targets in training.
        about: the T targets.
    """
    chex.assert_equal_shape([answers, targets])
    chex.assert_axis_dimension(answers, -1, len(about))
    return jnp.stack(
        [
            _sums(answers[..., t].reshape(-1), targets[..., t].reshape(-1), mean[t], target)
            for t, target in enumerate(about)
        ]
    )


def scores(found: np.ndarray, about: Sequence[Target]) -> dict[str, np.ndarray]:
    """Every score [...] float64 of sums [..., T, K]; of several targets the mean over them.

    A correlation with what does not vary is 0. A score of classes is told where every target has
    it.
    """
    each = [of_target(found[..., t, :], target) for t, target in enumerate(about)]
    shared = [name for name in each[0] if all(name in one for one in each)]
    return {name: np.mean([one[name] for one in each], axis=0) for name in shared}


def of_target(found: np.ndarray, target: Target) -> dict[str, np.ndarray]:
    """Every score [...] float64 of one target's sums [..., K]."""
    found = np.asarray(found, np.float64)
    r, ccc = agreement(found)
    told = {"mae": found[..., 1] / np.maximum(found[..., 0], 1), "pearson_r": r, "ccc": ccc}
    whole = found[..., 8:].reshape(*found.shape[:-1], CELLS, CELLS)
    for name, (true, given) in _GROUPS.get(target.scale, {}).items():
        counts = _merged(whole, true, given)
        told[f"acc{name}"] = accuracy(counts)
        if name.startswith("2"):
            told[f"f1{name[1:]}"] = weighted_f1(counts)
    return told


def mean_answer(found: np.ndarray) -> np.ndarray:
    """Mean absolute error [...] of the training part's mean, of sums [..., T, K]; the mean over the
    targets."""
    found = np.asarray(found, np.float64)
    return (found[..., 2] / np.maximum(found[..., 0], 1)).mean(-1)


def agreement(found: Array) -> tuple[Array, Array]:
    """Pearson's r and Lin's CCC [...] of sums [..., K], of NumPy or JAX; 0 where nothing varies."""
    n = found[..., 0] + (found[..., 0] == 0)
    x, y, xx, yy, xy = (found[..., i] / n for i in range(3, 8))
    # What is left of a variance by rounding alone is none.
    var_x, var_y = ((v - m * m) * (v - m * m > 1e-6 * v) for v, m in ((xx, x), (yy, y)))
    covariance = (xy - x * y) * (var_x > 0) * (var_y > 0)
    both = var_x * var_y
    r = covariance / (both + (both == 0)) ** 0.5
    apart = var_x + var_y + (x - y) ** 2
    return r, 2 * covariance / (apart + (apart == 0))


def _sums(answers: Array, targets: Array, mean: Array, target: Target) -> Array:
    scored = targets == targets
    y = jnp.where(scored, targets, target.centre)
    answers = jnp.where(scored, answers, target.centre)
    errors, constant = jnp.abs(answers - y), jnp.abs(mean - y) * scored
    x, z = ((value - target.centre) / target.spread for value in (answers, y))
    moments = [scored * 1.0, errors, constant, x, z, x * x, z * z, x * z]
    counts = jnp.zeros(CELLS**2)
    if target.scale:
        pairs = cells(y, target.scale) * CELLS + cells(answers, target.scale)
        counts = counts.at[pairs].add(scored * 1.0)
    return jnp.concatenate([jnp.stack([m.sum() for m in moments]), counts])


def _merged(counts: np.ndarray, true: Sequence[int], given: Sequence[int]) -> np.ndarray:
    """Counts [..., C, C] of classes from those of cells [..., 9, 9]."""
    classes = max(given) + 1
    to_true = np.array([[c == group for c in range(classes)] for group in true], float)
    to_given = np.array([[c == group for c in range(classes)] for group in given], float)
    merge = np.einsum("tc,gd->tgcd", to_true, to_given).reshape(-1, classes * classes)
    used = counts[..., : len(true), : len(given)]
    merged = used.reshape(*used.shape[:-2], -1) @ merge
    return merged.reshape(*used.shape[:-2], classes, classes)
