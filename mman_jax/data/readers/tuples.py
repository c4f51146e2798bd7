"""Which part of a conversation pickle is what: told by how many there are and what they hold.

The public files are a tuple or a list whose parts are dicts keyed by conversation (`d` below), and
the conversations of each part of the split (`i`: a set or a list). Dicts of vectors of fractions
are `v`: MMGCN's ten parts have labels where COSMIC's have such.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError

MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""MELD's emotions, in the order of these pickles."""

VECTORS = ("text", "text2", "text3", "text4", "speech", "visual")


class Layout(NamedTuple):
    """One public file.

    Attributes:
        name: in words.
        pattern: of its parts, a regular expression over `v`, `d`, `i` and `o` (anything else).
        fields: what each part is, in order; `rest` is not read.
        meld: whether its conversations are MELD's.
    """

    name: str
    pattern: str
    fields: tuple[str, ...]
    meld: bool = False


_HEAD = "ids speakers labels"
_ROBERTA = "text text2 text3 text4"
_LAYOUTS = tuple(
    Layout(name, pattern.replace("a", "[dv]"), tuple(fields.split()), meld)
    for name, pattern, fields, meld in (
        ("the nine-tuple (IEMOCAP or AVEC of conv-emotion, MMGCN, MM-DFN, COGMEN)", "a{7}ii",
         f"{_HEAD} text speech visual sentences train test", False),
        ("conv-emotion's MELD (nine parts)", "a{6}iia",
         f"{_HEAD} text speech sentences train test rest", True),
        ("MELD of MMGCN and MM-DFN (ten parts)", "aada{4}ii.",
         f"{_HEAD} text speech visual sentences train test rest", True),
        ("SDT's IEMOCAP (twelve parts)", "a{10}ii",
         f"{_HEAD} {_ROBERTA} speech visual sentences train test", False),
        ("SDT's MELD (thirteen parts)", "a{10}ii.",
         f"{_HEAD} {_ROBERTA} speech visual sentences train test rest", True),
        ("COSMIC and M3NET (ten parts)", "aava{4}iii",
         f"speakers labels {_ROBERTA} sentences train test valid", False),
        ("COSMIC's and M3NET's MELD (eleven parts)", "a{8}iii",
         f"speakers labels rest {_ROBERTA} sentences train test valid", True),
        ("DailyDialog of DialogueGCN (eight parts)", "ava{3}iii",
         "speakers text rest rest labels train test valid", False),
        ("DailyDialog of DialogueGCN (seven parts)", "avaaiii",
         "speakers text rest labels train test valid", False),
        ("DailyDialog of conv-emotion (eight parts; words by number)", "ada{3}iii",
         "speakers rest rest rest labels train test valid", False),
        ("COSMIC without features (six parts)", "aaaiii",
         "speakers labels sentences train test valid", False),
        ("COSMIC's MELD without features (seven parts)", "adaaiii",
         "speakers labels rest sentences train test valid", True),
    )
)  # fmt: skip

EXPECTED = (
    "the 9-tuple (ids, speakers, labels, text, speech, visual, sentences, train, test) or its kin "
    "of 6 to 13 parts (see docs/corpora.md)"
)


def recognises(loaded: object) -> bool:
    """Whether a pickle holds parts by conversation, be they whole or not."""
    if not isinstance(loaded, list | tuple) or not 6 <= len(loaded) <= 13:
        return False
    return sum(isinstance(part, dict) for part in loaded) >= 3


def layout_of(place: str, loaded: Any) -> Layout:
    """What the parts are.

    Raises:
        InputError: no known pattern, naming the part that is odd in the nine-tuple.
    """
    pattern = "".join(_letter(part) for part in loaded)
    for layout in _LAYOUTS:
        if len(layout.fields) == len(loaded) and re.fullmatch(layout.pattern, pattern):
            return layout
    fields = _LAYOUTS[0].fields
    if len(loaded) == len(fields):
        for position, (field, letter, wanted) in enumerate(
            zip(fields, pattern.replace("v", "d"), "dddddddii", strict=True)
        ):
            if letter != wanted:
                found = f"a {type(loaded[position]).__name__}"
                kind = "a dict by conversation" if wanted == "d" else "a set or list of their ids"
                raise InputError(
                    f"{place}: part {position} ({field})", found, f"{kind}, in {EXPECTED}"
                )
    raise InputError(place, f"a {type(loaded).__name__} of {len(loaded)}", EXPECTED)


def _letter(part: object) -> str:
    if isinstance(part, dict):
        return "v" if _holds_vectors(part) else "d"
    return "i" if isinstance(part, set | frozenset | list | tuple | np.ndarray) else "o"


def _holds_vectors(part: Mapping[Any, Any]) -> bool:
    """Whether most of the first utterances of a few conversations are vectors of fractions."""
    firsts = []
    for _, values in zip(range(5), part.values(), strict=False):
        items = isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim)
        firsts += [values[0]] if items and len(values) else []
    return 2 * sum(_is_vector(first) for first in firsts) > len(firsts)


def _is_vector(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and value.dtype.kind == "f"
    return isinstance(value, list | tuple) and any(isinstance(v, float) for v in value[:9])
