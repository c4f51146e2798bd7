"""Rows that are not trained on: validation's and test's as one part of one shape."""

import numpy as np

from mman_jax.types import Batch, unscored


def hold_out(valid: Batch, test: Batch) -> Batch:
    """Validation rows, then test rows, then one empty row; scored in one pass.

    Args:
        valid: [R + 1, U, ...], the last row empty.
        test: the same, with R and U of its own.
    """
    length = max(valid.mask.shape[1], test.mask.shape[1])

    def join(first, then, fill=0):
        first, then = np.asarray(first), np.asarray(then)
        return np.concatenate([widen(first[:-1], length, fill), widen(then, length, fill)])

    return Batch(
        {name: join(x, test.features[name]) for name, x in valid.features.items()},
        join(valid.labels, test.labels, unscored(valid.labels.dtype)),
        join(valid.mask, test.mask),
        join(valid.reset, test.reset, True),
        {name: join(x, test.present[name]) for name, x in valid.present.items()},
    )


def widen(rows: np.ndarray, length: int, fill: float | None = None) -> np.ndarray:
    """Rows [R, U, ...] filled up to `length` utterances; by default with labels that are none."""
    fill = unscored(rows.dtype) if fill is None else fill
    widths = [(0, 0), (0, length - rows.shape[1]), *[(0, 0)] * (rows.ndim - 2)]
    return np.pad(rows, widths, constant_values=fill)


def with_empty_row(rows: np.ndarray) -> np.ndarray:
    """Rows [S, R, U, ...] and one more, of zeros."""
    return np.pad(rows, [(0, 0), (0, 1), *[(0, 0)] * (rows.ndim - 2)])
