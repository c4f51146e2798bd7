"""Scores of numbers, and scales of sentiment, from one vector of sums per target.

Sums are exact under padding, and add up over batches, devices and folds.

T targets. A target's K sums are, in order: the number of rated utterances; the absolute errors of
the answers, and those of always answering the mean of training; x, y, xx, yy and xy for answers x
and targets y, minus the target's centre and in units of its spread; and the counts of cells [9, 9],
with the true cell in the rows.

The cells of a scale are fine enough that each class in the literature is a union of cells. On the
scale from -3 to 3 (CMU-MOSI, CMU-MOSEI) a value is clipped and rounded, halves to the even number;
on the scale from -1 to 1 (CH-SIMS) it is cut at fixed edges. Both are scored as in MMSA.

Scores on the scale from -3 to 3 (`SEVEN`):
- `acc2_with_zero`, `f1_with_zero`: at least 0, or below 0; every utterance.
- `acc2_without_zero`, `f1_without_zero`: above 0, or not; without utterances rated exactly 0.
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
"""Largest number of cells of a scale."""

# The edges between cells, ascending, and whether a value on the edge is in the upper cell.
_EDGES = {
    SEVEN: (
        (-2.5, True), (-1.5, False), (-0.5, True), (0.0, True),
        (0.0, False), (0.5, False), (1.5, True), (2.5, False),
    ),
    SIMS: ((-0.7, False), (-0.1, False), (0.0, False), (0.1, False), (0.7, False)),
}  # fmt: skip

LEFT_OUT = -1
"""The class of cells that a scale leaves out, such as exact zeros."""

# The class of each cell, by the number of classes.
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
"""Number of sums of a target."""

MEASURES = ("mae", "pearson_r", "ccc")
"""The scores of every target."""

# The class of each cell, for true values (LEFT_OUT: not scored) and for answers.
_GROUPS: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    SEVEN: {
        "2_with_zero": ((0, 0, 0, 0, 1, 1, 1, 1, 1),) * 2,
        "2_without_zero": (_CLASSES[SEVEN][2], (0, 0, 0, 0, 0, 1, 1, 1, 1)),
        "3": ((0, 0, 0, 1, 1, 1, 2, 2, 2),) * 2,
        "5": (_CLASSES[SEVEN][5],) * 2,
        "7": (_CLASSES[SEVEN][7],) * 2,
    },
    SIMS: {f"{count}_sims": (cells,) * 2 for count, cells in _CLASSES[SIMS].items()},
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
    """A number by which utterances are rated.

    Attributes:
        name: its key in the corpus's `targets`.
        scale: `-3..3`, `-1..1`, or empty: a scale without classes.
        centre: approximate mean of its values, which sums subtract so that none is large.
        spread: approximate standard deviation, above 0, the unit of sums.
    """

    name: str
    scale: str
    centre: float
    spread: float


def target(name: str, values: np.ndarray) -> Target:
    """Describes a target by its values [N] float32; at least one must not be NaN.

    The values determine the scale: values on both sides of zero that lie within -1 to 1, or
    otherwise within -3 to 3, are sentiment. All others (1 to 5, 0 to 1, 0 to 3) have no classes.

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
    """Returns the cell of each value [...], int32 from 0, for arrays of NumPy or JAX.

    Examples:
        >>> cells(np.array([-9.0, -0.5, 0.0, 0.5, 1.5], np.float32), "-3..3").tolist()
        [0, 3, 4, 5, 7]
    """
    index = (values != values).astype("int32") * 0
    for edge, upper in _EDGES[scale]:
        index = index + (values >= edge if upper else values > edge)
    return index


def class_counts(scale: str) -> tuple[int, ...]:
    """Returns the possible numbers of classes of a scale."""
    return tuple(_CLASSES.get(scale, ()))


def class_names(scale: str, count: int) -> tuple[str, ...]:
    """Returns the names of the classes of a scale, in order."""
    return (_SIMS_NAMES if scale == SIMS else {}).get(count, _NAMES[count])


def classes(values: np.ndarray, scale: str, count: int) -> np.ndarray:
    """Returns the class [N] int32 of each value [N] float32; `LEFT_OUT` for NaN and left-out zeros.

    On `-3..3`, 7 classes are the values clipped to ±3 and rounded, 5 classes those clipped to ±2
    and rounded (halves to the even number), 3 classes the signs, and 2 classes the signs without
    zeros. On `-1..1`, 5 classes are cut at -0.7, -0.1, 0.1 and 0.7, 3 classes at -0.1 and 0.1,
    2 classes at 0, with each edge in the lower class.

    Examples:
        >>> rated = np.array([-3.0, -0.4, 0.0, 0.5, 2.6, np.nan], np.float32)
        >>> classes(rated, "-3..3", 7).tolist(), classes(rated, "-3..3", 2).tolist()
        ([0, 3, 3, 3, 6, -1], [0, 0, -1, 1, 1, -1])
    """
    cell_classes = np.array(_CLASSES[scale][count], np.int32)[cells(values, scale)]
    return np.where(np.isnan(values), np.int32(LEFT_OUT), cell_classes)


def names(scored: Sequence[str]) -> dict[str, str]:
    """Returns the names of scores in tables, by key."""
    return {name: called for name, called in _SCORE_NAMES.items() if name in scored}


def sums(answers: Array, targets: Array, mean: Array, about: Sequence[Target]) -> Array:
    """Computes the sums [T, K] float32 of answers to some utterances.

    Args:
        answers: [..., T] float32, in the targets' own units.
        targets: [..., T] float32, NaN: not scored.
        mean: [T] float32, mean of each target in training.
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
    """Computes every score [...] float64 from sums [..., T, K], averaged over the targets.

    A correlation of constant values is 0. Scores of classes are included if every target has them.
    """
    each = [of_target(found[..., t, :], target) for t, target in enumerate(about)]
    shared = [name for name in each[0] if all(name in of_one for of_one in each)]
    return {name: np.mean([of_one[name] for of_one in each], axis=0) for name in shared}


def of_target(found: np.ndarray, target: Target) -> dict[str, np.ndarray]:
    """Computes every score [...] float64 from one target's sums [..., K]."""
    found = np.asarray(found, np.float64)
    r, ccc = agreement(found)
    computed = {"mae": found[..., 1] / np.maximum(found[..., 0], 1), "pearson_r": r, "ccc": ccc}
    cell_counts = found[..., 8:].reshape(*found.shape[:-1], CELLS, CELLS)
    for name, (true, predicted) in _GROUPS.get(target.scale, {}).items():
        counts = _merged(cell_counts, true, predicted)
        computed[f"acc{name}"] = accuracy(counts)
        if name.startswith("2"):
            computed[f"f1{name[1:]}"] = weighted_f1(counts)
    return computed


def mean_answer(found: np.ndarray) -> np.ndarray:
    """Computes the error [...] of always answering the mean of training, from sums [..., T, K].

    It is the mean absolute error, averaged over the targets.
    """
    found = np.asarray(found, np.float64)
    return (found[..., 2] / np.maximum(found[..., 0], 1)).mean(-1)


def agreement(found: Array) -> tuple[Array, Array]:
    """Computes Pearson's r and Lin's CCC [...] from sums [..., K]; 0 for constant values."""
    n = found[..., 0] + (found[..., 0] == 0)
    x, y, xx, yy, xy = (found[..., i] / n for i in range(3, 8))
    # A variance within rounding errors is 0.
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


def _merged(counts: np.ndarray, true: Sequence[int], predicted: Sequence[int]) -> np.ndarray:
    """Sums counts of cells [..., 9, 9] to counts of classes [..., C, C]."""
    classes = max(predicted) + 1
    to_true = np.array([[c == group for c in range(classes)] for group in true], float)
    to_predicted = np.array([[c == group for c in range(classes)] for group in predicted], float)
    merge = np.einsum("tc,gd->tgcd", to_true, to_predicted).reshape(-1, classes * classes)
    used = counts[..., : len(true), : len(predicted)]
    merged = used.reshape(*used.shape[:-2], -1) @ merge
    return merged.reshape(*used.shape[:-2], classes, classes)
