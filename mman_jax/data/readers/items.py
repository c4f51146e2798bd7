"""Single values of public files: ids, labels, numbers and vectors, checked before they are used."""

from typing import Any

import numpy as np

from mman_jax.errors import InputError

LARGEST_LABEL = 999
_LONGEST_ID = 1000
_NUMBERS = (int, float, bool)


def text(value: object, place: str, what: str = "an id") -> str:
    """A text, the bytes of one, or a whole number, as text.

    Raises:
        InputError: something else, or one that is too long.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode("latin1")
    if type(value) not in (str, int) and not isinstance(value, np.str_ | np.integer):
        raise InputError(place, f"a {type(value).__name__} as {what}", "text")
    if isinstance(value, int) and value.bit_length() > 64:
        raise InputError(place, f"an integer of {value.bit_length()} bits as {what}", "64 at most")
    # Names are put together and repeated: a long one would be copied for every utterance.
    if isinstance(value, str) and len(value) > _LONGEST_ID:
        raise InputError(place, f"{what} of {len(value)} characters", f"at most {_LONGEST_ID}")
    return str(value)


def label(value: object, place: str) -> int:
    """A class from 0, or -1; whole floats are what some writers make of them.

    Raises:
        InputError: something else, or one out of range.
    """
    whole = isinstance(value, int | np.integer) or (
        isinstance(value, float | np.floating) and value == np.round(value)
    )
    if not whole or not -1 <= value <= LARGEST_LABEL:
        huge = isinstance(value, int) and value.bit_length() > 64  # too long to be written out
        plain = isinstance(value, int | float | np.number) and not huge
        shown = value if plain else type(value).__name__
        expected = f"0 to {LARGEST_LABEL}, or -1"
        raise InputError(place, f"label {shown!s:.40} out of range", expected)
    return int(value)


def vector(value: Any, place: str) -> np.ndarray:
    """[D] float32 of an array or a list of numbers.

    Raises:
        InputError: something else.
    """
    if isinstance(value, np.ndarray):
        good = value.ndim == 1 and value.dtype.kind in "fiub"
        found = f"{value.dtype} of shape {value.shape}"
    else:
        good = isinstance(value, list | tuple) and all(type(v) in _NUMBERS for v in value)
        found = f"a {type(value).__name__} of something other than numbers"
    if not good:
        raise InputError(place, found, "a vector of numbers")
    try:
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return np.asarray(value, np.float64).astype(np.float32)
    except OverflowError:
        raise InputError(place, "an integer too large", "float32 features") from None


def sequence(value: Any, place: str, expected: str) -> np.ndarray | list[Any] | tuple[Any, ...]:
    """The value, where it is a list, a tuple or an array with an axis.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        raise InputError(place, f"a {type(value).__name__}", expected)
    return value


def numbers(values: Any, place: str, count: int | None = None) -> np.ndarray:
    """[N] float32 of a list or an array of N numbers, of any shape that has N values.

    Raises:
        InputError: something else, another count, an infinite number.
    """
    try:
        if isinstance(values, list | tuple) and not all(type(v) in _NUMBERS for v in values):
            raise TypeError  # not of arrays, which may be one again and again
        found = np.asarray(values)
        found = found.astype(np.float64) if found.dtype.kind in "fiubO" else None
    except (ValueError, TypeError, OverflowError):
        found = None
    if found is None:
        raise InputError(place, f"a {type(values).__name__} of no numbers", "a number an utterance")
    if count is not None and (found.size != count or found.shape[:1] != (count,)):
        expected = f"{count} numbers, one an utterance"
        raise InputError(place, f"shape {found.shape}", expected)
    with np.errstate(over="ignore"):
        narrow = found.astype(np.float32)
    if np.isinf(narrow).any():
        raise InputError(place, "an infinite number", "finite numbers, or NaN: none")
    return narrow.reshape(-1) if count is not None else narrow


def cells(value: Any, most: int) -> list[Any]:
    """The first values of an array or a list, or the value itself where it is one."""
    if isinstance(value, np.ndarray):
        return value.reshape(-1)[:most].tolist()
    return list(value[:most]) if isinstance(value, list | tuple) else [value]
