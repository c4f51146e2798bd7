"""Arrays that stay in their file: rows are read as they are asked for."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from mman_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class OnDisk:
    """An array whose values lie one after the other in a file, the last axis the fastest.

    Indexed by a slice of rows it gives them as a NumPy array, and `np.asarray` reads all of it.

    Attributes:
        path: the file.
        offset: of the first value, in bytes.
        dtype: of the values.
        shape: of at least one axis.
    """

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("rows one after the other")
        count = max(0, stop - start)
        width = math.prod(self.shape[1:])
        offset = self.offset + start * width * self.dtype.itemsize
        try:
            flat = np.fromfile(self.path, self.dtype, count * width, offset=offset)
        except OSError as error:
            raise InputError(
                self.path, f"cannot be read ({error})", "the file of before"
            ) from error
        if len(flat) != count * width:
            raise InputError(self.path, "it has become shorter", "the file of before")
        return flat.reshape(count, *self.shape[1:])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)
