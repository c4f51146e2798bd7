"""Arrays that grow row by row and may be larger than memory."""

import tempfile
import weakref

import numpy as np


class Growing:
    """Rows [n, D] float32 that go to a temporary file as they come.

    The file has no name to be left behind by: it is gone when the last array over it is.
    """

    def __init__(self, width: int):
        """Nothing yet, of D = `width`."""
        self.width, self._rows = width, 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (an array lives on over it)
        weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Adds rows [n, D], of any n and any number type; what float32 cannot hold is infinite."""
        with np.errstate(over="ignore"):
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
        self._rows += len(rows)

    def array(self) -> np.ndarray:
        """All rows, [T, D] float32, mapped; nothing can be added after that."""
        with self._file as file:
            file.flush()
            if not self._rows:
                return np.zeros((0, self.width), np.float32)
            return np.memmap(file, np.float32, "r", shape=(self._rows, self.width))
