"""A pickle reader that builds plain containers, numbers, strings and arrays, and runs nothing.

The standard library's C unpickler would do most of this through `find_class`, but it sizes its memo
by a number in the file, so that ten bytes can ask for gigabytes. The unpickler in Python keeps the
memo in a dict, and its table of opcodes can be reduced to those that data need.
"""

import io
import math
import mmap
import pickle
import pickletools
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError, reading
from mman_jax.files import archive, arrays
from mman_jax.files.arrays import OnDisk

LARGE = 8 << 20
"""Size in bytes from which an array stays in its file."""

_EXPECTED = "a pickle of containers, numbers, strings and NumPy arrays"

# One byte in the file can build a set of 216 bytes in memory, or copy a large list. The bytes of
# such objects are limited to `_HEAVIEST` times the file plus `_FREE_BYTES`; ordinary pickles need a
# tenth of that.
_HEAVIEST = 32
_FREE_BYTES = 64 << 20
_ITEM, _ENTRY = 8, 100  # bytes for each item of a list, and of a set or dict
_WEIGHTS = {"EMPTY_SET": 216, "FROZENSET": 216, "MARK": 130, "MEMOIZE": 100}

_KEYS = {
    "SETITEM": slice(-2, None, 2), "SETITEMS": slice(None, None, 2), "DICT": slice(None, None, 2),
    "ADDITEMS": slice(None), "FROZENSET": slice(None),
}  # fmt: skip
"""Positions in the stack of the objects that an opcode hashes."""

_BYTES = {"BINSTRING": "<i", "BINBYTES": "<I", "BINBYTES8": "<Q", "BYTEARRAY8": "<Q"}
"""Formats of the sizes of bytes that may stay in the file."""

_OPCODES = """MARK STOP POP POP_MARK DUP PROTO FRAME MEMOIZE
PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
BINBYTES SHORT_BINBYTES BINBYTES8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
GLOBAL STACK_GLOBAL REDUCE BUILD BYTEARRAY8"""

_LARGEST_INDEX = 2**32  # of the memo: the limit of the binary opcodes
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,6}|O[48]?)")
_MOST_AXES = 32
_ITEMS = (str, bytes, int, float, bool)  # of arrays of objects


def load(path: str | Path) -> object:
    """Reads a pickle of any protocol, of Python 2 (strings as latin1) or 3.

    Sets become set or frozenset, all mappings dict, NumPy scalars Python numbers; arrays hold
    numbers, bytes or str, possibly as objects. Large arrays of numbers stay in the file,
    as `OnDisk`, if the pickle has their bytes unchanged.

    Raises:
        InputError: A global or an opcode that could run code, a truncated file, another
            kind of file, or a pickle that declares more data than it contains.
    """
    path = Path(path)
    with (
        reading(path, _EXPECTED, (OSError, ValueError)),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return _load(path, content, len(content), LARGE)


def loads(place: str | Path, data: bytes) -> object:
    """Reads a pickle from bytes; `place` is for messages. See `load`."""
    return _load(Path(place), io.BytesIO(data), len(data), 1 << 62)


def load_archive(path: str | Path) -> dict[str, object]:
    """Reads the Python objects that `numpy.savez` pickled into an archive, by key."""
    path, objects = Path(path), {}
    with reading(path, "an archive of pickled dicts"), path.open("rb") as file:
        for key, member in archive.members(path, file).items():
            array = arrays.stored(f"{path}: {key}", member)
            if not array.dtype.hasobject or array.shape:
                raise InputError(array.place, f"an array of {array.dtype}", "a pickled dict")
            loaded = loads_array(array)
            objects[key] = loaded.item() if isinstance(loaded, np.ndarray) else loaded
    return objects


def loads_array(array: arrays.Stored) -> object:
    """Reads the pickle that an archive holds as an array of objects. See `load`."""
    content = b"".join(archive.chunks(array.member))[array.header :]
    return loads(array.place, content)


def _load(path: Path, file: Any, size: int, large: int) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings about escapes of Python 2
            return _Unpickler(path, file, size, large).load()
    except InputError:
        raise
    except EOFError as error:
        raise InputError(path, "a truncated pickle", _EXPECTED) from error
    except Exception as error:
        # Bytes that are not a pickle can fail in any way; none of these is a bug of this library.
        found = f"not a pickle, or a damaged one ({type(error).__name__}: {error!s:.120})"
        raise InputError(path, found, _EXPECTED) from error


class _Dtype:
    """A NumPy dtype by its code; its pickled state sets the byte order later."""

    def __init__(self, code: Any, *_: Any):
        code = _text(code)
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"dtype {code!r:.40}; expected one of numbers or text")
        self.dtype = np.dtype(object if "O" in code else code)

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the byte order; a state with fields or a shape is refused."""
        order = _text(state[1]) if len(state) > 1 else None
        if not isinstance(order, str) or order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("a dtype of another byte order")
        if any(field is not None for field in state[2:5]):
            raise pickle.UnpicklingError("a dtype with fields")
        if order != "|":
            self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]


class _Blank:
    """An array before its state is known; its shape and dtype are those of the state.

    Attributes:
        indices: Its indices in the memo.
    """

    def __init__(self, *_: Any):
        self.indices: list[int] = []


class _Memo(dict[int, Any]):
    """The objects that a pickle names by an index."""

    def __setitem__(self, index: int, item: Any) -> None:
        # Without a limit, integers could be chosen that all have the same hash.
        if index >= _LARGEST_INDEX:
            raise pickle.UnpicklingError("a memo index out of range")
        if isinstance(item, _Blank):
            item.indices.append(index)
        super().__setitem__(index, item)


class _Unpickler(pickle._Unpickler):
    """The standard machine with few opcodes, few functions, and a budget of memory.

    Args:
        path: Path of the file, for messages and arrays that stay in it.
        file: The pickle.
        size: Its number of bytes.
        large: Size in bytes from which an array stays in the file.
    """

    stack: list[Any]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    _unframer: Any

    def __init__(self, path: Path, file: Any, size: int, large: int):
        super().__init__(file, encoding="latin1")
        self.memo = _Memo()
        self._path, self._file, self._size, self._large = path, file, size, large
        self._budget = _HEAVIEST * size + _FREE_BYTES

    def charge(self, amount: int) -> None:
        """Charges the bytes of new objects to the budget."""
        self._budget -= amount
        if self._budget < 0:
            raise pickle.UnpicklingError("it builds objects that are far larger than the file")

    def find_class(self, module: str, name: str) -> Any:
        """Returns the function that replaces a global, if a pickle may call it."""
        builders: dict[str, Callable[..., Any] | None] = {
            "builtins.set": lambda items=(): set(self._copied(items, True)),
            "builtins.frozenset": lambda items=(): frozenset(self._copied(items, True)),
            "builtins.list": lambda items=(): list(self._copied(items)),
            "builtins.tuple": lambda items=(): tuple(self._copied(items)),
            "builtins.dict": self._mapping,
            "builtins.bytes": lambda: b"",  # protocols 0 to 2 write empty bytes as a call
            "collections.OrderedDict": self._mapping,
            "collections.defaultdict": lambda factory=None, items=(): self._mapping(items),
            "_codecs.encode": self._encode,
            "numpy.dtype": _Dtype,
            "numpy.ndarray": None,  # an argument of `_reconstruct`
            "numpy.core.multiarray._reconstruct": _Blank,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._array,
        }
        where = {"__builtin__": "builtins"}.get(module, module)
        where = where.replace("numpy._core.", "numpy.core.", 1)
        if f"{where}.{name}" not in builders:
            found = f"the global {f'{module}.{name}'!r:.120}, which could run code"
            raise InputError(self._path, found, _EXPECTED)
        return builders[f"{where}.{name}"]

    def _copied(self, items: Any, hashed: bool = False) -> Any:
        if not isinstance(items, list | tuple | set | frozenset):
            raise pickle.UnpicklingError(f"a container of a {type(items).__name__}")
        self.charge((_ENTRY if hashed else _ITEM) * len(items))
        return _hashable(items) if hashed else items

    def _mapping(self, items: Any = ()) -> dict:
        pairs = self._copied(list(items.items()) if isinstance(items, dict) else items)
        self.charge(_ENTRY * len(pairs))
        if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
            raise pickle.UnpicklingError("a mapping of something other than pairs")
        _hashable([key for key, _ in pairs])
        return dict(pairs)

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r:.40}")
        self.charge(len(text))
        return text.encode("latin1")

    def _scalar(self, dtype: Any, raw: Any) -> object:
        if isinstance(raw, list):
            raise pickle.UnpicklingError("a scalar of objects")
        return self._array(raw, dtype, ()).item()

    def load_build(self) -> None:
        """Sets the state of a dtype or an array; nothing else has one."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype) and isinstance(state, tuple):
            target.build(state)
        elif isinstance(target, _Blank) and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, raw = state
            array = self._array(raw, dtype, shape, "F" if fortran else "C")
            if isinstance(array, np.ndarray):  # as NumPy does
                array = array.astype(array.dtype.newbyteorder("="), copy=False)
            self.stack[-1] = array
            while target.indices:
                self.memo[target.indices.pop()] = array
        else:
            raise pickle.UnpicklingError(f"a state for a {type(target).__name__}")

    def _array(self, raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
        """Returns a writable array of bytes (a str stands for latin1) or of a list of objects."""
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a dtype")
        objects = dtype.dtype == object
        shape = (shape,) if isinstance(shape, int) else shape
        fits = isinstance(raw, list if objects else str | bytes | bytearray | OnDisk)
        # This is checked first, because the product of a million large numbers takes too long.
        fits = fits and isinstance(shape, tuple) and len(shape) <= _MOST_AXES
        fits = fits and all(type(n) is int and 0 <= n < 2**63 for n in shape)
        width = 1 if objects else dtype.dtype.itemsize
        if not fits or math.prod(shape) * width != len(raw):
            raise pickle.UnpicklingError("an array of another size than its data")
        # An empty array can still have many rows, such as one of shape (2**40, 0).
        least = math.prod(max(n, 1) for n in shape)
        self.charge(len(raw) * (_ITEM if objects else 1) or least)
        if objects:
            # `numpy.savez` stores a single object as an array without axes.
            if not all(type(item) in (_ITEMS if shape else (*_ITEMS, dict)) for item in raw):
                raise InputError(self._path, arrays.OBJECTS, "numbers or text")
            items = np.empty(len(raw), object)
            items[:] = raw
            return items.reshape(shape)  # a list is always in C order
        order = "F" if order == "F" else "C"
        if isinstance(raw, OnDisk):
            if dtype.dtype.kind in "biuf" and shape and (order == "C" or len(shape) == 1):
                return OnDisk(raw.path, raw.offset, dtype.dtype, shape)
            raw = raw[:].tobytes()
        content = bytearray(raw.encode("latin1") if isinstance(raw, str) else raw)
        array: np.ndarray = np.ndarray(shape, dtype.dtype, content, order=order)
        if array.dtype.kind == "U":
            array.tolist()  # fails here rather than in a reader if a code point is invalid
        return array

    def take_bytes(self, size: int) -> Any:
        """Reads bytes, or returns their position if they are large and outside of a frame."""
        if size < 0:
            raise pickle.UnpicklingError("a negative number of bytes")
        frame = self._unframer.current_frame
        inside = frame is not None and frame.tell() < len(frame.getbuffer())
        if size < self._large or inside:
            return self.read(size)
        start = self._file.tell()
        if start + size > self._size:
            raise EOFError
        self._file.seek(start + size)
        self._unframer.current_frame = None
        return OnDisk(self._path, start, np.dtype(np.uint8), (size,))


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _hashable(items: Any) -> Any:
    """Returns the items, after checking that hashing them is quick and safe."""
    # The hash of a tuple nested a million deep would overflow the C stack; and integers of any
    # size can all have the same hash, so that a set of n takes n * n comparisons.
    for item in items:
        if type(item) is int and item.bit_length() > 64:
            raise pickle.UnpicklingError("an integer beyond 64 bits as a key or set element")
        if type(item) not in (*_ITEMS, type(None)):
            raise pickle.UnpicklingError(f"a {type(item).__name__} as a key or set element")
    return items


class _Allowed(dict):
    """The allowed opcodes; any other raises an error with its name."""

    def __missing__(self, code: int) -> Callable[[_Unpickler], None]:
        names = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
        raise pickle.UnpicklingError(f"opcode {names.get(code, code)}")


def _checked(name: str) -> Callable[[_Unpickler], None]:
    """Returns the method of an opcode, with the checks that it needs."""
    method: Any = pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
    weight, keys, form = _WEIGHTS.get(name, 0), _KEYS.get(name), _BYTES.get(name, "")

    def check(machine: _Unpickler) -> None:
        machine.charge(weight)
        if keys:
            _hashable(machine.stack[keys])
        method(machine)

    def take(machine: _Unpickler) -> None:
        raw = machine.take_bytes(*struct.unpack(form, machine.read(struct.calcsize(form))))
        is_text = name == "BINSTRING" and isinstance(raw, bytes)
        machine.append(raw.decode("latin1") if is_text else raw)

    if name == "BUILD":
        return _Unpickler.load_build
    return take if form else check if weight or keys else method


_Unpickler.dispatch = _Allowed({getattr(pickle, n)[0]: _checked(n) for n in _OPCODES.split()})
