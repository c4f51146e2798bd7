"""NumPy's part of a pickle: dtypes by their code and arrays by their bytes, and nothing else."""

import math
import pickle
import re
from typing import Any

import numpy as np

_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})")
_MOST_AXES = 32


class HoldsObjectsError(pickle.UnpicklingError):
    """An array of Python objects: a pickle may be whole and hold one."""


class Dtype:
    """A NumPy dtype by its code, before and after its pickled state gave the byte order."""

    def __init__(self, code: Any, *_: Any):
        if isinstance(code, bytes):
            code = code.decode("latin1")
        if isinstance(code, str) and re.fullmatch(r"[<>|=]?O[48]?", code):
            raise HoldsObjectsError("an array of Python objects")
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
    """
    good = isinstance(raw, str | bytes | bytearray) and isinstance(dtype, Dtype)
    # The product of a million large numbers is not computed, be it right or wrong.
    good = good and isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    good = good and all(type(n) is int and 0 <= n < 2**63 for n in shape)
    if not good or math.prod(shape) * dtype.dtype.itemsize != len(raw):
        raise pickle.UnpicklingError("an array of another size than its data")
    # An array without values still has rows that can be listed: (2**40, 0).
    return len(raw) if raw else math.prod(max(n, 1) for n in shape)


def build(raw: Any, dtype: Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """A writable array of these bytes (a str stands for latin1), which `cost` has allowed."""
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    flat = np.frombuffer(raw, dtype.dtype).copy() if raw else np.empty(0, dtype.dtype)
    if flat.dtype.kind == "U":
        flat.tolist()  # fails here, not at the reader's, where a code point is none
    return flat.reshape(shape, order=order)
