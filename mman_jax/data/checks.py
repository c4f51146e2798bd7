"""Checks of one field of a corpus: its type, its shape, its names."""

import re
import unicodedata
from collections.abc import Callable

import numpy as np

from mman_jax.errors import InputError

# Names are keys of files, paths of parameters and values of flags, between commas.
_MODALITY = re.compile(r"[^\W_]([\w.()+ -]{0,98}[\w.()+-])?")

_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def check_key(name: object, place: str) -> None:
    """Refuses what is no name of a modality, a sequence or a target."""
    if not isinstance(name, str) or not _MODALITY.fullmatch(name):
        expected = "a letter or digit, then letters, digits and any of _ - . ( ) + or a space"
        raise InputError(place, "an unusable name", f"{expected}, at most 100 characters")


def check_array(array: object, dtype: type, rank: int, place: str, axes: str) -> None:
    """Refuses what is no array of this type and number of axes."""
    if not isinstance(array, np.ndarray):
        found = f"a {type(array).__name__}"
    elif array.dtype != dtype or array.ndim != rank:
        found = f"{array.dtype} of shape {array.shape}"
    else:
        return
    raise InputError(place, found, f"an array {axes} of {np.dtype(dtype).name}")


def is_line(text: str) -> bool:
    """Whether a text is printable, but for spaces and marks that join or part letters.

    Many scripts need these marks. What turns the direction of writing around is none of them: it
    could make a line look like another one.

    Examples:
        >>> is_line("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"), is_line("two\\nlines")
        (True, False)
    """
    fits = (
        c.isprintable() or (unicodedata.category(c) in ("Cf", "Zs") and c not in _TURNS)
        for c in text
    )
    return text.isprintable() or all(fits)


def check_names(names: object, place: str, good: Callable[[str], bool] = str.isprintable) -> None:
    """Refuses what is no tuple of printable texts; `good` says what is printable."""
    # One line a message and one row a prediction: an id that breaks lines would break both.
    if not isinstance(names, tuple):
        raise InputError(place, f"a {type(names).__name__}", "a tuple of str")
    for position, name in enumerate(names):
        if type(name) is not str or not name or not good(name):
            raise InputError(place, f"{name!r:.60} at position {position}", "printable text")


def check_count(values: object, count: int, place: str, other: str) -> None:
    """Refuses another number of values than some other field has."""
    if len(values) != count:
        raise InputError(place, f"{len(values)} entries", f"{count}, as many as {other}")
