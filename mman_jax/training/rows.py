"""Rows in batches: all of a part in some order, the last batch filled up with the empty row."""

import math

import jax
import jax.numpy as jnp

from mman_jax.types import Array, Batch


def batch_rows(rows: int, conversations: int, batch: int) -> int:
    """Rows that hold about `batch` conversations, such that all batches of an epoch are alike."""
    return math.ceil(rows / max(1, round(conversations / batch)))


def count(part: Batch) -> int:
    """Rows of a part, the empty last one not counted."""
    return part.labels.shape[0] - 1


def take(part: Batch, rows: Array) -> Batch:
    """Some rows of a part."""
    return jax.tree.map(lambda x: x[rows], part)


def in_batches(order: Array, size: int, empty: int) -> Array:
    """Row numbers as [steps, size], the last batch filled up with the empty row's."""
    return jnp.pad(order, (0, -len(order) % size), constant_values=empty).reshape(-1, size)
