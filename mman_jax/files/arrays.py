"""Arrays in .npz archives from anybody: a header is compared with what the archive holds of it."""

import dataclasses
import io
import math
import sys
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files import archive
from mman_jax.files.on_disk import OnDisk
from mman_jax.files.regular import check_regular

OBJECTS = "it holds Python objects in an array, which this reader does not load"

_LARGEST_HEADER = 1000  # of plain arrays; longer literals can be too deep for the parser


@dataclasses.dataclass(frozen=True)
class Stored:
    """One array of an archive, by its header.

    Attributes:
        member: where it lies.
        place: the archive and the key, for messages.
        shape: as claimed.
        fortran: whether its first axis is the fastest.
        dtype: of its values.
        header: bytes before the values.
    """

    member: archive.Member
    place: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    header: int

    def check_size(self) -> None:
        """Compares what the header claims with the member.

        Raises:
            InputError: it claims more or less than is there.
        """
        values = math.prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or self.header + values != self.member.size:
            left = self.member.size - self.header
            found = f"a header for {values} bytes of values in a member of {left}"
            raise InputError(self.place, found, "a whole member")

    def load(self, file: BinaryIO) -> np.ndarray:
        """The values, in memory.

        Raises:
            InputError: content that is damaged, or of another size than claimed.
            zlib.error: bytes that are not deflated.
        """
        content = bytearray()
        for piece in archive.chunks(file, self.member):
            content += piece
        values = memoryview(content)[self.header :]
        if self.dtype.kind == "U":
            codes = np.frombuffer(values, np.dtype(np.uint32).newbyteorder(self.dtype.byteorder))
            if codes.max(initial=0) > sys.maxunicode:
                raise InputError(self.place, "characters that do not exist", "Unicode text")
        order = "F" if self.fortran else "C"
        return np.frombuffer(values, self.dtype).reshape(self.shape, order=order)


def stored(file: BinaryIO, place: str, member: archive.Member) -> Stored:
    """The header of an array; its size is not compared yet.

    Raises:
        InputError: it is none.
    """
    start = b""
    # The first pieces alone: of a member that is smaller, all of it, checked at its end.
    for content in archive.chunks(file, member):
        start += content
        if len(start) >= _LARGEST_HEADER + 64:
            break
    stream = io.BytesIO(start[: _LARGEST_HEADER + 64])
    try:
        shape, fortran, dtype = _read_header(stream)
    except Exception as error:
        # A header is a Python literal: what is none can fail in any way.
        found = f"an unreadable header ({error!s:.200})"
        raise InputError(place, found, "an array that NumPy wrote") from error
    return Stored(member, place, shape, fortran, dtype, stream.tell())


def read(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """All arrays of an archive, by key, in memory: numbers, bool and str of any shape.

    Args:
        path: the archive.
        expected: what should be there, for messages.

    Raises:
        InputError: no archive, a damaged one, an array of objects, more claimed than there is.
    """
    found = {}
    try:
        with Path(path).open("rb") as file:
            for member in archive.members(Path(path), file):
                key = member.name.removesuffix(".npy")
                if key in found:
                    twice = f"comes twice, as {key!r} and as {key + '.npy'!r}"
                    raise InputError(f"{path}: {key}", twice, "each key once")
                array = stored(file, f"{path}: {key}", member)
                if array.dtype.hasobject:
                    found_here = f"an array of {array.dtype}: {OBJECTS}"
                    raise InputError(array.place, found_here, "numbers or text")
                if array.dtype.kind not in "biufU" or not array.dtype.itemsize:
                    raise InputError(array.place, f"an array of {array.dtype}", "numbers or text")
                array.check_size()
                found[key] = array.load(file)
    except InputError:
        raise
    except Exception as error:
        # Bytes that are no archive can fail in any way; none of them is a bug of ours.
        raise InputError(path, f"unreadable ({error!s:.200})", expected) from error
    return found


def read_npy(path: str | Path) -> OnDisk | np.ndarray:
    """The array of a .npy file, of numbers: it stays in the file where its rows lie in order.

    Raises:
        InputError: no such file, another kind, or one of another size than its header says.
    """
    path, expected = Path(path), "an array of numbers that NumPy wrote"
    check_regular(path, expected)
    try:
        with path.open("rb") as file:
            stream = io.BytesIO(file.read(_LARGEST_HEADER + 64))
            shape, fortran, dtype = _read_header(stream)
    except Exception as error:
        # A header is a Python literal: what is none can fail in any way.
        raise InputError(path, f"unreadable ({error!s:.200})", expected) from error
    if dtype.kind not in "fiub" or not dtype.itemsize:
        raise InputError(path, f"an array of {dtype}", expected)
    size = path.stat().st_size - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise InputError(path, f"{size} bytes of values for shape {shape}", "a whole array")
    found = OnDisk(path, stream.tell(), dtype, shape or (1,))
    if fortran and len(shape) > 1:
        return dataclasses.replace(found, shape=shape[::-1])[:].T
    return found


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version}")
    first = version == (1, 0)
    read_it = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings(action="ignore"):  # of Python 2, and of what is no literal
        return read_it(stream, max_header_size=_LARGEST_HEADER)
