"""A pickle reader that builds plain containers, numbers, strings and arrays, and runs nothing."""

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mman_jax.errors import InputError, reading
from mman_jax.files import archive, arrays
from mman_jax.files.opcodes import Dtype, HoldsObjectsError, Machine

_IN_MEMORY = 64 << 20

_EXPECTED = "a pickle of containers, numbers, strings and NumPy arrays"


def load(path: str | Path) -> object:
    """Reads a pickle of any protocol, of Python 2 (strings as latin1) or 3.

    Sets become set or frozenset, all mappings dict, NumPy scalars Python numbers; arrays hold
    numbers, bytes or str, possibly as objects. Large arrays of numbers stay in the file,
    as `OnDisk`, if the pickle has their bytes unchanged.

    Raises:
        InputError: A global or an opcode that could run code, a truncated file, a file that is no
            pickle, or one that claims more than it holds.
    """
    path = Path(path)
    with reading(path, _EXPECTED, (OSError,)), path.open("rb") as file:
        size = path.stat().st_size
        small = size <= _IN_MEMORY  # single bytes are read much faster from memory
        return _load(path, io.BytesIO(file.read()) if small else file, size, True)


def loads(place: str | Path, data: bytes) -> object:
    """Reads a pickle from bytes; `place` is for messages. See `load`."""
    return _load(Path(place), io.BytesIO(data), len(data), False)


def load_archive(path: str | Path) -> dict[str, object]:
    """Reads the Python objects that `numpy.savez` pickled into an archive, by key.

    Raises:
        InputError: No archive, a damaged archive, another kind of array, or a pickle that
            `loads` refuses.
    """
    path, objects = Path(path), {}
    with reading(path, "an archive of pickled dicts"), path.open("rb") as file:
        for member in archive.members(path, file):
            key = member.name.removesuffix(".npy")
            array = arrays.stored(file, f"{path}: {key}", member)
            if not array.dtype.hasobject or array.shape:
                raise InputError(array.place, f"an array of {array.dtype}", "a pickled dict")
            loaded = loads_array(file, array)
            objects[key] = loaded.item() if isinstance(loaded, np.ndarray) else loaded
    return objects


def loads_array(file: BinaryIO, array: arrays.Stored) -> object:
    """Reads the pickle that an archive holds as an array of objects. See `load`."""
    content = b"".join(archive.chunks(file, array.member))[array.header :]
    return loads(array.place, content)


def _load(path: Path, file: BinaryIO, size: int, on_disk: bool) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings about escapes of Python 2
            return _Unpickler(path, file, size, on_disk).load()
    except InputError:
        raise
    except HoldsObjectsError as error:
        raise InputError(path, arrays.OBJECTS, "numbers or text") from error
    except EOFError as error:
        raise InputError(path, "a truncated pickle", _EXPECTED) from error
    except Exception as error:
        # Bytes that are no pickle can fail in any way; none of these is a bug of this library.
        found = f"no pickle, or a damaged one ({type(error).__name__}: {error!s:.120})"
        raise InputError(path, found, _EXPECTED) from error


class _Unpickler(Machine):
    """The machine with the only functions that a pickle may call."""

    def find_class(self, module: str, name: str) -> Any:
        builders: dict[str, Callable[..., Any] | None] = {
            "builtins.set": lambda items=(): self._charged(set, self.hashable(items)),
            "builtins.frozenset": lambda items=(): self._charged(frozenset, self.hashable(items)),
            "builtins.list": lambda items=(): self._charged(list, items),
            "builtins.tuple": lambda items=(): self._charged(tuple, items),
            "builtins.dict": self._mapping,
            "builtins.bytes": lambda: b"",  # protocols 0 to 2 write empty bytes as a call
            "collections.OrderedDict": self._mapping,
            "collections.defaultdict": lambda factory=None, items=(): self._mapping(items),
            "_codecs.encode": self._encode,
            "numpy.dtype": Dtype,
            "numpy.ndarray": None,  # an argument of `_reconstruct`
            "numpy.core.multiarray._reconstruct": self._reconstruct,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self.frombuffer,
        }
        where = {"__builtin__": "builtins"}.get(module, module)
        where = where.replace("numpy._core.", "numpy.core.", 1)
        if f"{where}.{name}" not in builders:
            found = f"the global {f'{module}.{name}'!r:.120}, which could run code"
            raise InputError(self._path, found, _EXPECTED)
        return builders[f"{where}.{name}"]

    def _charged(self, kind: type, items: Any) -> Any:
        if not isinstance(items, list | tuple | set | frozenset):
            raise pickle.UnpicklingError(f"a {kind.__name__} of a {type(items).__name__}")
        self.charge(len(items))
        return kind(items)

    def _mapping(self, items: Any = ()) -> dict:
        if isinstance(items, dict):
            self.charge(len(items))
            return dict(items)
        pairs = self._charged(list, items)
        if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
            raise pickle.UnpicklingError("a mapping of something other than pairs")
        self.hashable([key for key, _ in pairs])
        return dict(pairs)

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r:.40}")
        self.charge(len(text))
        return text.encode("latin1")

    def _reconstruct(self, *_: Any) -> np.ndarray:
        # The state replaces shape and dtype, so that these arguments do not matter.
        return np.ndarray(0, np.float64)

    def _scalar(self, dtype: Dtype, raw: Any) -> object:
        if isinstance(raw, list):
            raise pickle.UnpicklingError("a scalar of objects")
        value = self.frombuffer(raw, dtype, ())
        return value.item() if isinstance(value, np.ndarray) else value
