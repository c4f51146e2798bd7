"""Rows in batches: all of a part in some order, the last batch filled up with the empty row."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mman_jax.types import Array, Batch


def batch_rows(rows: int, conversations: int, batch: int) -> int:
    """Rows that hold about `batch` conversations, such that all batches of an epoch are alike.

    Examples:
        60 conversations in 20 rows, 30 a batch: two batches of ten rows.

        >>> batch_rows(rows=20, conversations=60, batch=30)
        10
    """
    return math.ceil(rows / max(1, round(conversations / batch)))


def count(part: Batch) -> int:
    """Rows of a part, the empty last one not counted."""
    return part.labels.shape[0] - 1


def take(part: Batch, rows: Array) -> Batch:
    """Some rows of a part.

    Args:
        part: arrays [R + 1, U, ...].
        rows: [B] int, their numbers.

    Returns:
        Arrays [B, U, ...].
    """
    return jax.tree.map(lambda x: x[rows], part)


def filled_first(order: Array, part: Batch) -> tuple[Array, Array]:
    """Row numbers [R] with those of empty rows moved to the end, and how many rows are filled."""
    filled = part.mask[:-1].any(1)
    return order[jnp.argsort(~filled[order], stable=True)], filled.sum()


def in_batches(order: Array, size: int, empty: int) -> Array:
    """Row numbers [R] as [steps, size], the last batch filled up with the empty row's.

    Examples:
        >>> in_batches(jnp.arange(3), size=2, empty=9).tolist()
        [[0, 1], [2, 9]]
    """
    return jnp.pad(order, (0, -len(order) % size), constant_values=empty).reshape(-1, size)


def featureless(rows: Mapping[str, Batch]) -> dict[str, Batch]:
    """The rows of each part without features: of a stage whose inputs are each seed's own."""
    return {part: batch._replace(features={}, present={}) for part, batch in rows.items()}
