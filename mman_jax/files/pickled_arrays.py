"""NumPy's part of a pickle: dtypes by their code and arrays by their bytes, and nothing else."""

import dataclasses
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.files.on_disk import OnDisk

_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})")
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
    """An array of Python objects: a pickle may be whole and hold one."""


class Dtype:
    """A NumPy dtype by its code, before and after its pickled state gave the byte order."""

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
        """Takes the byte order; a state with fields or a shape is refused."""
        if len(state) < 2 or state[1] not in ("<", ">", "|", "=", b"<", b">", b"|", b"="):
            raise pickle.UnpicklingError("a dtype of another byte order")
        if any(field is not None for field in state[2:5]):
            raise pickle.UnpicklingError("a dtype with fields")
        order = state[1] if isinstance(state[1], str) else state[1].decode()
        if order != "|":
            self.dtype = self.dtype.newbyteorder(order)


def cost(raw: Any, dtype: Any, shape: Any) -> int:
    """What `build` would copy, in bytes, of an array that it takes; whoever reads it may list it.

    Raises:
        pickle.UnpicklingError: values that are no bytes, or not those of the shape and the dtype.
        HoldsObjectsError: objects that are neither text nor numbers.
    """
    objects = isinstance(dtype, Dtype) and dtype.dtype == object
    kinds = list if objects else str | bytes | bytearray | Region
    good = isinstance(raw, kinds) and isinstance(dtype, Dtype)
    # The product of a million large numbers is not computed, be it right or wrong.
    good = good and isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    good = good and all(type(n) is int and 0 <= n < 2**63 for n in shape)
    if not good or math.prod(shape) * (1 if objects else dtype.dtype.itemsize) != len(raw):
        raise pickle.UnpicklingError("an array of another size than its data")
    if objects:
        # Without axes it stands for the one object that `numpy.savez` was given.
        allowed = _ITEMS if shape else (*_ITEMS, dict)
        if not all(type(item) in allowed for item in raw):
            raise HoldsObjectsError("an array of other objects than text and numbers")
        return 8 * len(raw) + 8
    # An array without values still has rows that can be listed: (2**40, 0).
    return len(raw) if raw else math.prod(max(n, 1) for n in shape)


def build(raw: Any, dtype: Dtype, shape: tuple[int, ...], order: str) -> np.ndarray | OnDisk:
    """A writable array of these bytes (a str stands for latin1), which `cost` has allowed."""
    if dtype.dtype == object:
        items = np.empty(len(raw), object)
        for position, item in enumerate(raw):
            items[position] = item
        return items.reshape(shape)  # a list is in C order, whatever the array's was
    if isinstance(raw, Region):
        if dtype.dtype.kind in "biuf" and shape and (order == "C" or len(shape) == 1):
            return OnDisk(raw.path, raw.start, dtype.dtype, shape)
        flat = np.fromfile(raw.path, dtype.dtype, math.prod(shape), offset=raw.start)
    else:
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(raw, dtype.dtype).copy() if raw else np.empty(0, dtype.dtype)
    if flat.dtype.kind == "U":
        flat.tolist()  # fails here, not at the reader's, where a code point is none
    return flat.reshape(shape, order=order)
