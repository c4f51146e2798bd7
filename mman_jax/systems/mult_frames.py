"""Who sees whom in MulT over frames, whose sequences have unequal lengths."""

import jax.numpy as jnp

from mman_jax.types import Array


def flat(x: Array, present: Array | None) -> tuple[Array, Array]:
    """Frames [B, U, F, D] as sequences [B * U, F, D], and where there is one, [B * U, F] bool.

    Args:
        x: the frames, those of an utterance first, then padding.
        present: [B, U, F] bool; None: all are there.
    """
    shape = (x.shape[0] * x.shape[1], x.shape[2])
    there = jnp.ones(shape, bool) if present is None else present.reshape(shape)
    return x.reshape(*shape, x.shape[-1]), there


def lenient(target: Array, source: Array, cells: int, others: int) -> Array:
    """Whom each cell of a target may look at: those before it, and as many more as the lengths of
    the two differ by. With equal lengths none is later; with others some are.

    Args:
        target: [B] int, lengths.
        source: [B] int, lengths.
        cells: U, of the target with its padding.
        others: K, of the source with its padding.

    Returns:
        [B, U, K] bool.

    Examples:
        A sequence of two cells looks at one of three.

        >>> lenient(jnp.array([2]), jnp.array([3]), 2, 4)[0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    more = jnp.abs(target - source)[:, None, None]
    step, other = jnp.arange(cells)[:, None], jnp.arange(others)
    return (other <= step + more) & (other < source[:, None, None])


def last(x: Array, lengths: Array) -> Array:
    """What stands at the last of so many cells, [B, D] of [B, U, D]; 0 where there is none."""
    index = jnp.maximum(lengths - 1, 0)[:, None, None]
    found = jnp.take_along_axis(x, index, axis=1)[:, 0]
    return jnp.where(lengths[:, None] > 0, found, 0)
