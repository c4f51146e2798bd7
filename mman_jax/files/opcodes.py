"""The pickle machine with only the opcodes that data needs, and bounds on their allocations.

The standard library's C unpickler would do most of this through `find_class`, but it sizes its
memo by a number in the file, so that ten bytes can ask for gigabytes. The Python one keeps the
memo in a dict, and its table of opcodes can be cut to the few that data needs.
"""

# ruff: noqa: D102 - the standard library names the methods by their opcodes

import dataclasses
import io
import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from mman_jax.files.arrays import OnDisk

# Objects may take this many times the bytes of the file: enough for any honest pickle, in which
# every value is written out, and a bound for a pickle that copies a value again and again.
_COPIES = 4

# One byte in the file can build a set of 216 bytes in memory. The total of such bytes is limited to
# `_HEAVIEST` times the file plus `_FREE_BYTES`; honest pickles need a tenth of that.
_WEIGHTS = {"EMPTY_SET": 216, "FROZENSET": 216, "MARK": 130, "MEMOIZE": 100}
_HEAVIEST = 32
_FREE_BYTES = 64 << 20

_LARGEST_INDEX = 2**32  # of the memo: the limit of the binary opcodes

LARGE = 8 << 20
"""Size in bytes from which an array stays in its file."""

_OPCODES = """MARK STOP POP POP_MARK DUP PROTO FRAME MEMOIZE
PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
BINBYTES SHORT_BINBYTES BINBYTES8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
GLOBAL STACK_GLOBAL REDUCE BUILD BYTEARRAY8"""

_SMALL_READ = 1 << 16  # bytes, which are read without checking how many are left

_SCALARS = (str, bytes, int, float, bool, type(None))

_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})")
_BYTE_ORDERS: dict[str, Literal["<", ">", "|", "="]] = {"<": "<", ">": ">", "|": "|", "=": "="}
_MOST_AXES = 32
_ITEMS = (str, bytes, int, float, bool)


@dataclasses.dataclass(frozen=True)
class Region:
    """Bytes that were left in their file."""

    path: Path
    start: int
    size: int

    def __len__(self) -> int:
        return self.size


class HoldsObjectsError(pickle.UnpicklingError):
    """An array of Python objects, which an intact pickle may hold."""


class Dtype:
    """A NumPy dtype by its code; its pickled state sets the byte order later."""

    def __init__(self, code: Any, *_: Any):
        if isinstance(code, bytes):
            code = code.decode("latin1")
        if isinstance(code, str) and re.fullmatch(r"[<>|=]?O[48]?", code):
            self.dtype = np.dtype(object)
            return
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise pickle.UnpicklingError(f"dtype {code!r:.40}; expected one of numbers or text")
        self.dtype = np.dtype(code)

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the byte order; a state with fields or a shape is refused."""
        order = state[1] if len(state) > 1 else None
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if not isinstance(order, str) or order not in _BYTE_ORDERS:
            raise pickle.UnpicklingError("a dtype of another byte order")
        if any(field is not None for field in state[2:5]):
            raise pickle.UnpicklingError("a dtype with fields")
        if order != "|":
            self.dtype = self.dtype.newbyteorder(_BYTE_ORDERS[order])


class _Bounded:
    """A file that is read only up to its size, because readers allocate before they read."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count <= _SMALL_READ:
            return self._file.read(count)
        return self._file.read(min(count, max(0, self._size - self._file.tell())))


class Machine(pickle._Unpickler):
    """The standard machine with fewer opcodes and a budget of bytes.

    Args:
        path: Path of the file, for arrays that stay in it.
        file: The pickle.
        size: Its number of bytes.
        on_disk: Whether arrays of `LARGE` bytes and more stay in the file at the path.
    """

    stack: list[Any]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    _unframer: Any

    def __init__(self, path: Path, file: BinaryIO, size: int, on_disk: bool):
        bounded = file if isinstance(file, io.BytesIO) else _Bounded(file, size)
        super().__init__(bounded, encoding="latin1")
        self._path, self._file, self._size = path, file, size
        self._large = LARGE if on_disk else 1 << 62
        self._places: dict[int, list[int]] = {}  # memo indices of arrays, by their identity
        self._budget = _COPIES * size + 1024
        self._weight = _HEAVIEST * size + _FREE_BYTES

    def frombuffer(self, raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray | OnDisk:
        """Builds a writable array of bytes, whose number must match the shape."""
        shape = (shape,) if isinstance(shape, int) else shape
        self.charge(_cost(raw, dtype, shape))
        return _build(raw, dtype, shape, "F" if order == "F" else "C")

    def charge(self, amount: int) -> None:
        """Charges the bytes of new objects to the budget."""
        self._budget -= amount
        if self._budget < 0:
            raise pickle.UnpicklingError("it claims more data than the file holds")

    def weigh(self, amount: int) -> None:
        """Charges the memory of an opcode to the budget of memory."""
        self._weight -= amount
        if self._weight < 0:
            raise pickle.UnpicklingError("it builds far more than the file holds")

    def hashable(self, items: Any) -> Any:
        """Returns the items, after checking that hashing them is quick and safe."""
        # The hash of a tuple nested a million deep would overflow the C stack; and integers of any
        # size can all have the same hash, so that a set of n takes n * n comparisons.
        for item in items:
            if type(item) is int and item.bit_length() > 64:
                raise pickle.UnpicklingError("an integer beyond 64 bits as a key or set element")
            if type(item) not in _SCALARS:
                raise pickle.UnpicklingError(f"a {type(item).__name__} as a key or set element")
        return items

    def load_build(self) -> None:
        """Sets the state of a dtype or an array; nothing else has one."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(state, tuple):
            raise pickle.UnpicklingError("a state that is no tuple")
        if isinstance(target, Dtype):
            target.build(state)
        elif isinstance(target, np.ndarray) and len(state) == 5:
            _, shape, dtype, fortran, raw = state
            array = self.frombuffer(raw, dtype, shape, "F" if fortran else "C")
            if isinstance(array, OnDisk):
                self.stack[-1] = array
                for index in self._places.get(id(target), ()):
                    self.memo[index] = array
            else:
                # In place: the memo holds the array already.
                values = array.tobytes("A") if array.dtype != object else array.ravel().tolist()
                restored: Any = (1, array.shape, array.dtype, bool(fortran), values)
                target.__setstate__(restored)
        else:
            raise pickle.UnpicklingError(f"a state for a {type(target).__name__}")

    def _set_pairs(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise pickle.UnpicklingError(f"items for a {type(target).__name__}")
        self.hashable(pairs[::2])
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_pairs([key, value])

    def load_setitems(self) -> None:
        self._set_pairs(self.pop_mark())

    def load_dict(self) -> None:
        pairs = self.pop_mark()
        self.append({})
        self._set_pairs(pairs)

    def load_additems(self) -> None:
        items: Iterable[Any] = self.hashable(self.pop_mark())
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError("elements for something other than a set")
        self.stack[-1].update(items)

    def load_frozenset(self) -> None:
        items = self.hashable(self.pop_mark())
        self.append(frozenset(items))  # `append` changes with `pop_mark`

    def load_put(self) -> None:
        # The inherited method takes any integer, and so any number of them with the same hash.
        self._memoize(int(self.readline()[:-1]))

    def load_binput(self) -> None:
        self._memoize(self.read(1)[0])

    def load_long_binput(self) -> None:
        self._memoize(struct.unpack("<I", self.read(4))[0])

    def load_memoize(self) -> None:
        self._memoize(len(self.memo))

    def _memoize(self, index: int) -> None:
        if not 0 <= index < _LARGEST_INDEX:
            raise pickle.UnpicklingError("a memo index out of range")
        item = self.memo[index] = self.stack[-1]
        if isinstance(item, np.ndarray):
            self._places.setdefault(id(item), []).append(index)

    def load_binstring(self) -> None:
        size = struct.unpack("<i", self.read(4))[0]
        if size < 0:
            raise pickle.UnpicklingError("BINSTRING pickle has negative byte count")
        raw = self._bytes(size)
        self.append(raw if isinstance(raw, Region) else raw.decode("latin1"))

    def load_binbytes(self) -> None:
        self.append(self._bytes(struct.unpack("<I", self.read(4))[0]))

    def load_binbytes8(self) -> None:
        self.append(self._bytes(struct.unpack("<Q", self.read(8))[0]))

    def load_bytearray8(self) -> None:
        # The inherited method allocates the claimed size before it reads.
        raw = self._bytes(struct.unpack("<Q", self.read(8))[0])
        self.append(raw if isinstance(raw, Region) else bytearray(raw))

    def _bytes(self, size: int) -> bytes | Region:
        """Reads bytes, or returns where they lie: picklers write large ones outside of frames."""
        frame = self._unframer.current_frame
        inside = frame is not None and frame.tell() < len(frame.getbuffer())
        if size < self._large or inside:
            return self.read(size)
        start = self._file.tell()
        if start + size > self._size:
            raise EOFError
        self._file.seek(size, 1)
        self._unframer.current_frame = None
        return Region(self._path, start, size)


def _cost(raw: Any, dtype: Any, shape: Any) -> int:
    """Returns the bytes that `_build` would copy; an array's rows may also be listed.

    Raises:
        pickle.UnpicklingError: The values are no bytes, or not those of the shape and the dtype.
        HoldsObjectsError: Objects that are neither text nor numbers.
    """
    objects = isinstance(dtype, Dtype) and dtype.dtype == object
    kinds = list if objects else str | bytes | bytearray | Region
    fits = isinstance(raw, kinds) and isinstance(dtype, Dtype)
    # Checked first, because the product of a million large numbers would take too long.
    fits = fits and isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    fits = fits and all(type(n) is int and 0 <= n < 2**63 for n in shape)
    if not fits or math.prod(shape) * (1 if objects else dtype.dtype.itemsize) != len(raw):
        raise pickle.UnpicklingError("an array of another size than its data")
    if objects:
        # `numpy.savez` stores a single object as an array without axes.
        allowed = _ITEMS if shape else (*_ITEMS, dict)
        if not all(type(item) in allowed for item in raw):
            raise HoldsObjectsError("an array of other objects than text and numbers")
        return 8 * len(raw) + 8
    # An array without values still has rows that can be listed: (2**40, 0).
    return len(raw) if raw else math.prod(max(n, 1) for n in shape)


def _build(
    raw: Any, dtype: Dtype, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray | OnDisk:
    """Builds a writable array of bytes (a str stands for latin1) that `_cost` has checked."""
    if dtype.dtype == object:
        items = np.empty(len(raw), object)
        for position, item in enumerate(raw):
            items[position] = item
        return items.reshape(shape)  # a list is always in C order
    if isinstance(raw, Region):
        if dtype.dtype.kind in "biuf" and shape and (order == "C" or len(shape) == 1):
            return OnDisk(raw.path, raw.start, dtype.dtype, shape)
        flat = np.fromfile(raw.path, dtype.dtype, math.prod(shape), offset=raw.start)
    else:
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(raw, dtype.dtype).copy() if raw else np.empty(0, dtype.dtype)
    if flat.dtype.kind == "U":
        flat.tolist()  # fails here rather than in a reader if a code point is invalid
    return flat.reshape(shape, order=order)


class _Allowed(dict):
    """The allowed opcodes; any other is refused by its name."""

    def __missing__(self, code: int) -> Callable[[Machine], None]:
        names = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
        raise pickle.UnpicklingError(f"opcode {names.get(code, code)}")


def _dispatch() -> _Allowed:
    allowed = _Allowed()
    for name in _OPCODES.split():
        code = getattr(pickle, name)[0]
        inherited = pickle._Unpickler.dispatch[code]
        load = getattr(Machine, inherited.__name__)
        allowed[code] = _weighed(load, _WEIGHTS[name]) if name in _WEIGHTS else load
    return allowed


def _weighed(load: Callable[[Machine], None], weight: int) -> Callable[[Machine], None]:
    def weighed(machine: Machine) -> None:
        machine.weigh(weight)
        load(machine)

    return weighed


Machine.dispatch = _dispatch()
