"""A pickle reader that builds plain containers, numbers, strings and arrays, and runs nothing.

The standard library's C unpickler would do most of this through `find_class`, but it sizes its
memo by a number in the file, so that ten bytes can ask for gigabytes. The Python one keeps the
memo in a dict, and its table of opcodes can be cut to the few that data needs.
"""

import io
import pickle
import pickletools
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files import arrays, pickled_arrays
from mman_jax.files.pickled_arrays import Dtype

_EXPECTED = "a pickle of containers, numbers, strings and NumPy arrays"

# What is built may hold this many times the bytes of the file: enough for any honest pickle,
# whose every value is written out, and a bound for one that copies a value again and again.
_COPIES = 4

# A set of one byte in the file takes 216 in memory. What such opcodes take, in bytes, may come to
# so many times the file, beyond what is free; honest pickles have contents too and need a tenth.
_WEIGHTS = {"EMPTY_SET": 216, "FROZENSET": 216, "MARK": 130, "MEMOIZE": 100}
_HEAVIEST = 32
_FREE_BYTES = 64 << 20

_LARGEST_INDEX = 2**32  # of the memo, as the binary opcodes have it

_OPCODES = """MARK STOP POP POP_MARK DUP PROTO FRAME MEMOIZE
PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
BINBYTES SHORT_BINBYTES BINBYTES8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
GLOBAL STACK_GLOBAL REDUCE BUILD BYTEARRAY8"""

_SCALARS = (str, bytes, int, float, bool, type(None))


def load(path: str | Path) -> object:
    """Read a pickle of any protocol, of Python 2 (strings as latin1) or 3.

    Sets become set or frozenset, all mappings dict, NumPy scalars Python numbers; arrays hold
    numbers, bytes or str, never objects.

    Raises:
        InputError: a global outside the short list, by its name; an opcode that would run
            code; a truncated file, one that is no pickle, or one that claims more than it holds.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", _EXPECTED) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python 2 wrote otherwise
            return _Unpickler(path, data).load()
    except InputError:
        raise
    except pickled_arrays.HoldsObjectsError as error:
        raise InputError(path, arrays.OBJECTS, "numbers or text") from error
    except EOFError as error:
        raise InputError(path, "a truncated pickle", _EXPECTED) from error
    except Exception as error:
        # Bytes that are no pickle can fail in any way; none of them is a bug of ours.
        found = f"no pickle, or a damaged one ({type(error).__name__}: {error!s:.120})"
        raise InputError(path, found, _EXPECTED) from error


class _Unpickler(pickle._Unpickler):
    """The standard machine with fewer opcodes, globals of its own, and a budget of bytes."""

    def __init__(self, path: Path, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._path = path
        self._budget = _COPIES * len(data) + 1024
        self._weight = _HEAVIEST * len(data) + _FREE_BYTES

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        builders = {
            "builtins.set": lambda items=(): self._charged(set, self._hashable(items)),
            "builtins.frozenset": lambda items=(): self._charged(frozenset, self._hashable(items)),
            "builtins.list": lambda items=(): self._charged(list, items),
            "builtins.tuple": lambda items=(): self._charged(tuple, items),
            "builtins.dict": self._mapping,
            "builtins.bytes": lambda: b"",  # protocols 0 to 2 write empty bytes as a call
            "collections.OrderedDict": self._mapping,
            "collections.defaultdict": lambda factory=None, items=(): self._mapping(items),
            "_codecs.encode": self._encode,
            "numpy.dtype": Dtype,
            "numpy.ndarray": None,  # a mark that `_reconstruct` is handed
            "numpy.core.multiarray._reconstruct": self._reconstruct,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._frombuffer,
        }
        where = {"__builtin__": "builtins"}.get(module, module)
        where = where.replace("numpy._core.", "numpy.core.", 1)
        if f"{where}.{name}" not in builders:
            found = f"the global {f'{module}.{name}'!r:.120}, which could run code"
            raise InputError(self._path, found, _EXPECTED)
        return builders[f"{where}.{name}"]

    def _charge(self, amount: int) -> None:
        self._budget -= amount
        if self._budget < 0:
            raise pickle.UnpicklingError("it claims more data than the file holds")

    def weigh(self, amount: int) -> None:
        """Counts memory that an opcode takes."""
        self._weight -= amount
        if self._weight < 0:
            raise pickle.UnpicklingError("it builds far more than the file holds")

    def _charged(self, kind: type, items: Any) -> Any:
        if not isinstance(items, list | tuple | set | frozenset):
            raise pickle.UnpicklingError(f"a {kind.__name__} of a {type(items).__name__}")
        self._charge(len(items))
        return kind(items)

    def _mapping(self, items: Any = ()) -> dict:
        if isinstance(items, dict):
            self._charge(len(items))
            return dict(items)
        pairs = self._charged(list, items)
        if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
            raise pickle.UnpicklingError("a mapping of something other than pairs")
        self._hashable([key for key, _ in pairs])
        return dict(pairs)

    def _hashable(self, items: Any) -> Any:
        # The hash of a tuple nested a million deep would overflow the C stack; and integers of any
        # size can all have the same hash, so that a set of n takes n * n comparisons.
        for item in items:
            if type(item) is int and item.bit_length() > 64:
                raise pickle.UnpicklingError("an integer beyond 64 bits as a key or set element")
            if type(item) not in _SCALARS:
                raise pickle.UnpicklingError(f"a {type(item).__name__} as a key or set element")
        return items

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r:.40}")
        self._charge(len(text))
        return text.encode("latin1")

    def _reconstruct(self, *_: Any) -> np.ndarray:
        # Shape and dtype are replaced when the state comes; the ones given here never matter.
        return np.ndarray(0, np.float64)

    def _scalar(self, dtype: Dtype, raw: Any) -> object:
        return self._frombuffer(raw, dtype, ()).item()

    def _frombuffer(self, raw: Any, dtype: Dtype, shape: Any, order: Any = "C") -> np.ndarray:
        """A writable array of these bytes; their number must be exactly the shape's."""
        shape = (shape,) if isinstance(shape, int) else shape
        self._charge(pickled_arrays.cost(raw, dtype, shape))
        return pickled_arrays.build(raw, dtype, shape, "F" if order == "F" else "C")

    def load_build(self) -> None:
        """Give a dtype or an array its state; nothing else has one."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(state, tuple):
            raise pickle.UnpicklingError("a state that is no tuple")
        if isinstance(target, Dtype):
            target.build(state)
        elif isinstance(target, np.ndarray) and len(state) == 5:
            _, shape, dtype, fortran, raw = state
            array = self._frombuffer(raw, dtype, shape, "F" if fortran else "C")
            # In place: the memo holds the array already.
            target.__setstate__((1, array.shape, array.dtype, bool(fortran), array.tobytes("A")))
        else:
            raise pickle.UnpicklingError(f"a state for a {type(target).__name__}")

    def _set_pairs(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise pickle.UnpicklingError(f"items for a {type(target).__name__}")
        self._hashable(pairs[::2])
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
        items: Iterable[Any] = self._hashable(self.pop_mark())
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError("elements for something other than a set")
        self.stack[-1].update(items)

    def load_frozenset(self) -> None:
        items = self._hashable(self.pop_mark())
        self.append(frozenset(items))  # `append` is another one after `pop_mark`

    def load_put(self) -> None:
        # The inherited one takes any integer, and so any number of them with the same hash.
        index = int(self.readline()[:-1])
        if not 0 <= index < _LARGEST_INDEX:
            raise pickle.UnpicklingError("a memo index out of range")
        self.memo[index] = self.stack[-1]

    def load_bytearray8(self) -> None:
        # The inherited one allocates what the file claims before it reads.
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))


class _Allowed(dict):
    """The kept opcodes; any other is refused by its name."""

    def __missing__(self, code: int) -> Callable[[_Unpickler], None]:
        known = pickletools.code2op.get(chr(code))
        raise pickle.UnpicklingError(f"opcode {known.name if known else code}")


def _dispatch() -> _Allowed:
    allowed = _Allowed()
    for name in _OPCODES.split():
        code = getattr(pickle, name)[0]
        inherited = pickle._Unpickler.dispatch[code]
        load = getattr(_Unpickler, inherited.__name__)
        allowed[code] = _weighed(load, _WEIGHTS[name]) if name in _WEIGHTS else load
    return allowed


def _weighed(load: Callable[[_Unpickler], None], weight: int) -> Callable[[_Unpickler], None]:
    def weighed(machine: _Unpickler) -> None:
        machine.weigh(weight)
        load(machine)

    return weighed


_Unpickler.dispatch = _dispatch()
