"""What a cell may look back at, and what a conversation keeps of its cells for later ones.

Attention that looks back sees the last W cells of its own conversation, itself included: W is the
size of a state that never grows, and rows see the same band, so that both answer alike.
"""

from typing import NamedTuple

import jax.numpy as jnp

from mman_jax.types import Array


class Band(NamedTuple):
    """Who sees whom. K counts the cells of the row, after the W that were kept if any were.

    Attributes:
        seen: [B, U, K] bool, whether a cell (U) may look at another one (K).
        position: [B, U] float32, number of a cell in its conversation, from 0.
        count: [B] float32, cells of the conversation so far, after the row's last one.
    """

    seen: Array
    position: Array
    count: Array


def band(reset: Array, window: int, count: Array | None = None, ahead: bool = False) -> Band:
    """The band of the last cells of each cell's own conversation.

    Args:
        reset: [B, U] bool, True where a conversation or padding starts.
        window: W, how many cells are seen, the own one included.
        count: [B] float32, cells of the conversation before the row, of which W are kept; None:
            nothing is kept, and K is U.
        ahead: whether a cell sees later cells, too, as many as earlier ones.

    Examples:
        Two conversations of two and three utterances in a row; each looks at itself and at the one
        before.

        >>> reset = jnp.array([[True, False, True, False, False]])
        >>> band(reset, window=2).seen[0].astype(int).tolist()
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
        >>> band(reset, window=2).position[0].tolist()
        [0.0, 1.0, 0.0, 1.0, 2.0]
    """
    segment, step = jnp.cumsum(reset, axis=1), jnp.arange(reset.shape[1])
    same = segment[:, :, None] == segment[:, None]
    age = step[:, None] - step
    position = jnp.sum(same & (age >= 0), axis=-1) - 1.0
    seen = same & (age < window) & (age > -window if ahead else age >= 0)
    if count is None:
        return Band(seen, position, position[:, -1] + 1)
    goes_on = segment == 0
    position = position + jnp.where(goes_on, count[:, None], 0)
    kept = jnp.arange(window) - window  # the step of each cell that is kept
    before = (kept >= -count[:, None])[:, None] & goes_on[:, :, None]
    before = before & (step[:, None] - kept < window)
    return Band(jnp.concatenate([before, seen], axis=-1), position, position[:, -1] + 1)


def after(kept: Array | None, cells: Array) -> Array:
    """The cells that were kept, if any, and then those of the row: [B, K, ...]."""
    return cells if kept is None else jnp.concatenate([kept, cells], axis=1)


def keep(kept: Array | None, cells: Array, window: int) -> Array:
    """The last W cells: what was kept, with those of the row after it.

    Args:
        kept: [B, W, ...]; None before the first: zeros.
        cells: [B, U, ...].
        window: W.
    """
    if kept is None:
        kept = jnp.zeros((cells.shape[0], window, *cells.shape[2:]), cells.dtype)
    return after(kept, cells)[:, -window:]
