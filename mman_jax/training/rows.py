"""Rows of a part: batching, and joining validation and test to one holdout part."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.types import Array, Batch, unscored


def batch_rows(rows: int, conversations: int, batch: int) -> int:
    """Returns the number of rows per batch, for equal batches of about `batch` conversations.

    Examples:
        60 conversations in 20 rows, with 30 per batch, give two batches of ten rows.

        >>> batch_rows(rows=20, conversations=60, batch=30)
        10
    """
    return math.ceil(rows / max(1, round(conversations / batch)))


def count(part: Batch) -> int:
    """Counts the rows of a part, without the empty last row."""
    return part.labels.shape[0] - 1


def take(part: Batch, rows: Array) -> Batch:
    """Takes the rows with indices [B] of a part, arrays [R + 1, U, ...]."""
    return jax.tree.map(lambda x: x[rows], part)


def filled_first(order: Array, part: Batch) -> tuple[Array, Array]:
    """Moves empty rows to the end of the row indices [R], and counts the filled rows."""
    filled = part.mask[:-1].any(1)
    return order[jnp.argsort(~filled[order], stable=True)], filled.sum()


def in_batches(order: Array, size: int, empty: int) -> Array:
    """Reshapes row indices [R] to [steps, size]; the last batch is padded with the empty row.

    Examples:
        >>> in_batches(jnp.arange(3), size=2, empty=9).tolist()
        [[0, 1], [2, 9]]
    """
    return jnp.pad(order, (0, -len(order) % size), constant_values=empty).reshape(-1, size)


def featureless(rows: Mapping[str, Batch]) -> dict[str, Batch]:
    """Removes the features of each part, for a stage whose inputs differ by seed."""
    return {part: batch._replace(features={}, present={}) for part, batch in rows.items()}


def empty_values(rows: Batch) -> Batch:
    """Returns the fill value of each array, for empty cells."""
    unlabelled = unscored(rows.labels.dtype)
    speakers = (None, None) if rows.speakers is None else (0, False)
    features, present = dict.fromkeys(rows.features, 0), dict.fromkeys(rows.present, False)
    return Batch(features, unlabelled, False, True, present, *speakers)


def holdout(valid: Batch, test: Batch) -> Batch:
    """Joins rows [R + 1, U, ...] of validation and test, to be scored in one pass.

    Both end in an empty row, as does the result; R and U may differ.
    """
    length = max(valid.mask.shape[1], test.mask.shape[1])

    def join(first, then, fill):
        first, then = np.asarray(first), np.asarray(then)
        return np.concatenate([widen(first[:-1], length, fill), widen(then, length, fill)])

    return jax.tree.map(join, valid, test, empty_values(valid))


def widen(rows: np.ndarray, length: int, fill: float | None = None) -> np.ndarray:
    """Pads rows [R, U, ...] to `length` utterances, by default with the unscored label."""
    fill = unscored(rows.dtype) if fill is None else fill
    widths = [(0, 0), (0, length - rows.shape[1]), *[(0, 0)] * (rows.ndim - 2)]
    return np.pad(rows, widths, constant_values=fill)


def with_empty_row(rows: np.ndarray) -> np.ndarray:
    """Appends a row of zeros to rows [S, R, U, ...]."""
    return np.pad(rows, [(0, 0), (0, 1), *[(0, 0)] * (rows.ndim - 2)])
