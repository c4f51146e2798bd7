"""Arrays in files: checked reading of .npz and .npy, arrays with a card, and arrays on disk."""

import dataclasses
import io
import json
import math
import sys
import tempfile
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mman_jax.errors import InputError, reading
from mman_jax.files import archive
from mman_jax.files.whole import check_regular, writing

CARD = "card"
"""Default key of the card: a value as JSON that describes the arrays of an archive."""

OBJECTS = "it holds Python objects in an array, which this reader does not load"

_LARGEST_HEADER = 1000  # bytes, of plain arrays; longer literals can be too deep for the parser


@dataclasses.dataclass(frozen=True)
class OnDisk:
    """An array that is stored in C order and without gaps in a file.

    A slice of rows reads them as a NumPy array; `np.asarray` reads the full array.

    Attributes:
        path: Path of the file.
        offset: Offset of the first value, in bytes.
        dtype: Type of the values.
        shape: Shape, of at least one axis.
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
            raise IndexError("only contiguous rows can be read")
        count = max(0, stop - start)
        width = math.prod(self.shape[1:])
        offset = self.offset + start * width * self.dtype.itemsize
        expected = "the file as it was when it was opened"
        with reading(self.path, expected, (OSError,)):
            flat = np.fromfile(self.path, self.dtype, count * width, offset=offset)
        if len(flat) != count * width:
            raise InputError(self.path, "it has become shorter", expected)
        return flat.reshape(count, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


class Growing:
    """Rows [n, D] float32 that are written to a temporary file as they come.

    The file has no name: it disappears with the last array that maps it.
    """

    def __init__(self, width: int):
        self.width, self._rows = width, 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (an array keeps using it)
        weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Adds rows [n, D] of any number type; values beyond float32 become infinite."""
        with np.errstate(over="ignore"):
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
        self._rows += len(rows)

    def array(self) -> np.ndarray:
        """Returns all rows, [T, D] float32, memory-mapped; nothing can be added afterwards."""
        with self._file as file:
            file.flush()
            if not self._rows:
                return np.zeros((0, self.width), np.float32)
            return np.memmap(file, np.float32, "r", shape=(self._rows, self.width))


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array of an archive, as described by its header.

    Attributes:
        member: The file of the archive that holds it.
        place: The archive and the key, for messages.
        shape: Shape that the header claims.
        order: "F" if the first axis is the fastest, otherwise "C".
        dtype: Type of the values.
        header: Number of bytes before the values.
    """

    member: archive.Member
    place: str
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype
    header: int

    def check_size(self) -> None:
        """Raises InputError if the header claims more or less than the member holds."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or self.header + size != self.member.size:
            left = self.member.size - self.header
            found = f"a header for {size} bytes of values in a member of {left}"
            raise InputError(self.place, found, "a complete member")

    def load(self) -> np.ndarray:
        """Reads the values into memory."""
        content = bytearray()
        for piece in archive.chunks(self.member):
            content += piece
        values = memoryview(content)[self.header :]
        if self.dtype.kind == "U":
            codes = np.frombuffer(values, np.dtype(np.uint32).newbyteorder(self.dtype.byteorder))
            if codes.max(initial=0) > sys.maxunicode:
                raise InputError(self.place, "characters that do not exist", "Unicode text")
        return np.frombuffer(values, self.dtype).reshape(self.shape, order=self.order)


def stored(place: str, member: archive.Member) -> Stored:
    """Reads the header of an array; `Stored.check_size` compares its size."""
    start = b""
    # The first pieces only; a smaller member is read, and so checked, to its end.
    for content in archive.chunks(member):
        start += content
        if len(start) >= _LARGEST_HEADER + 64:
            break
    with reading(place, "an array that NumPy wrote"):
        shape, order, dtype, size = _read_header(start)
    return Stored(member, place, shape, order, dtype, size)


def load(place: str, member: archive.Member) -> np.ndarray:
    """Reads an array of numbers, bool or str into memory."""
    array = stored(place, member)
    if array.dtype.kind not in "biufU" or not array.dtype.itemsize:
        objects = f": {OBJECTS}" if array.dtype.hasobject else ""
        raise InputError(place, f"an array of {array.dtype}{objects}", "numbers or text")
    array.check_size()
    return array.load()


def read(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """Reads all arrays of an archive into memory, by key; `expected` is for messages.

    Raises:
        InputError: No archive, a damaged one, an array of objects, or one that claims more than
            the archive holds.
    """
    with reading(path, expected), Path(path).open("rb") as file:
        members = archive.members(Path(path), file)
        return {key: load(f"{path}: {key}", member) for key, member in members.items()}


def write_carded(
    path: Path,
    several: Mapping[str, np.ndarray],
    card: Any,
    name: str = CARD,
    make_folder: bool = True,
) -> None:
    """Writes arrays, and a card that JSON can hold, to an .npz archive, atomically.

    Args:
        path: path of the archive.
        several: arrays of numbers, bool or str, by keys other than the card's.
        card: any value that JSON can hold.
        name: key of the card.
        make_folder: whether a missing folder is created.
    """
    members: dict[str, Any] = {name: np.array(json.dumps(card)), **several}
    with writing(path, make_folder=make_folder) as file:
        np.savez(file, **members)


def read_carded(
    path: str | Path, expected: str, name: str = CARD
) -> tuple[dict[str, np.ndarray], Any]:
    """Reads the arrays by key, and the card; `expected` describes the file in messages."""
    check_regular(path, expected)
    loaded = read(path, expected)
    try:
        card = json.loads(str(loaded.pop(name)))
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(path, f"no {name} ({error!r:.200})", expected) from error
    return loaded, card


def read_npy(path: str | Path) -> OnDisk | np.ndarray:
    """Returns the array of numbers of a .npy file; in C order it stays in the file.

    Raises:
        InputError: No such file, another kind of file, or a size that contradicts the header.
    """
    path, expected = Path(path), "an array of numbers that NumPy wrote"
    check_regular(path, expected)
    with reading(path, expected), path.open("rb") as file:
        shape, order, dtype, start = _read_header(file.read(_LARGEST_HEADER + 64))
    if dtype.kind not in "fiub" or not dtype.itemsize:
        raise InputError(path, f"an array of {dtype}", expected)
    size = path.stat().st_size - start
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise InputError(path, f"{size} bytes of values for shape {shape}", "a complete array")
    if order == "F" and len(shape) > 1:
        return OnDisk(path, start, dtype, shape[::-1])[:].T
    return OnDisk(path, start, dtype, shape or (1,))


def _read_header(start: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype, int]:
    """Returns shape, order and dtype, and the number of bytes that the header takes."""
    stream = io.BytesIO(start[: _LARGEST_HEADER + 64])
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version}")
    first = version == (1, 0)
    parse = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings(action="ignore"):  # warnings about Python 2 and malformed literals
        shape, fortran, dtype = parse(stream, max_header_size=_LARGEST_HEADER)
    return shape, "F" if fortran else "C", dtype, stream.tell()
