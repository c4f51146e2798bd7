"""Validation of corpora, with error messages that name the place of an invalid value."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np

from mman_jax.data.fields import CONVERSATIONS, MODALITY, UTTERANCES, Kind, columns, entries, kinds
from mman_jax.errors import InputError, nearest

RESERVED = ("speaker", "session")
"""Traits that `groups` may not contain, because the corpus has fields for them."""

SPLIT_NAMES = ("train", "valid", "test")

ONE_VECTOR = "[N, D], one vector per utterance: average frames [N, T, D] over T first"
CLASSES = "class indices from 0 as int32 (numbers to predict are targets/<name>)"

_CHUNK_VALUES = 1 << 20

# Names are used as keys of files, in parameter paths and in comma-separated flags.
_KEY = re.compile(r"[^\W_]([\w.()+ -]{0,98}[\w.()+-])?")

_DIRECTION_MARKS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def check_facts(corpus: Any) -> None:
    """Checks all fields of a corpus except features and sequences."""
    place = corpus.source or "corpus"
    _check_lengths(corpus, place)
    if isinstance(corpus.labels, np.ndarray) and corpus.labels.dtype.kind == "f":
        found = f"{corpus.labels.dtype} of shape {corpus.labels.shape}"
        raise InputError(f"{place}: labels", found, CLASSES)
    for name, kind in kinds(corpus).items():
        if kind.by != MODALITY:
            for key, values in entries(corpus, name, kind):
                where = f"{place}: {name}/{key}" if kind.by else f"{place}: {name}"
                if kind.by:
                    check_key(key, where)
                _check_values(corpus, values, kind, where)
    _check_unique(corpus, place)
    _check_split(corpus, place)
    _check_labels(corpus, place)
    for name, array in corpus.targets.items():
        where = f"{place}: targets/{name}"
        _refuse_entry(corpus, array, np.isinf(array), where, "a number, or NaN: context only")
    for name in corpus.groups:
        field = columns(corpus).get(name)
        if field and (name in RESERVED or getattr(corpus, field) is not None):
            found, expected = "the name of a field of the corpus", f"{field}, or another name"
            raise InputError(f"{place}: groups/{name}", found, expected)
    for label, array in corpus.votes.items():
        where = f"{place}: votes/{label}"
        if label not in corpus.label_names:
            raise InputError(where, "an unknown label", nearest(label, corpus.label_names))
        _refuse_entry(corpus, array, array < 0, where, "raters, from 0")
    check_names(corpus.source_notes, f"{place}: source_notes")


def check_features(corpus: Any) -> None:
    """Checks the features of a corpus and their presence."""
    place = corpus.source or "corpus"
    if not corpus.features:
        raise InputError(place, "no modalities", "at least one")
    utterances = len(corpus.utterance_ids)
    for modality, array in corpus.features.items():
        where = f"{place}: modality {modality}"
        check_key(modality, where)
        if isinstance(array, np.ndarray) and array.ndim == 3:
            raise InputError(where, f"shape {array.shape}", ONE_VECTOR)
        check_array(array, np.float32, 2, where, "[N, D]")
        if array.shape[0] != utterances:
            found = f"{array.shape[0]} utterances, unequal to the other arrays'"
            raise InputError(where, found, f"{utterances}, one row per utterance")
        if not array.shape[1]:
            raise InputError(where, "no features (D = 0)", "at least one feature")
    for modality, array in corpus.present.items():
        where = f"{place}: present/{modality}"
        if modality not in corpus.features:
            raise InputError(where, "an unknown modality", nearest(modality, corpus.features))
        _check_values(corpus, array, kinds(corpus)["present"], where)
    for modality, array in corpus.features.items():
        wrong = first_infinite(array, corpus.present.get(modality))
        if wrong:
            utterance, column = wrong
            where = f"{place}: {name_utterance(corpus, utterance)}, modality {modality}"
            found = f"{array[utterance, column]} in column {column}"
            expected = f"finite features, or the modality marked as missing (present/{modality})"
            raise InputError(where, found, expected)


def row_chunks(array: Any, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Iterates over slices of the rows of [N, ...], each of a bounded number of values."""
    stop = len(array) if stop is None else stop
    step = max(1, _CHUNK_VALUES // max(1, math.prod(array.shape[1:])))
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def first_infinite(array: np.ndarray, present: np.ndarray | None = None) -> tuple[int, int] | None:
    """Finds row and column of the first value that is not finite, in the rows `present` [N]."""
    for rows in row_chunks(array):
        finite = np.isfinite(array[rows])
        if present is not None:
            finite |= ~present[rows, None]
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            return rows.start + row, column
    return None


def name_utterance(corpus: Any, utterance: int) -> str:
    """Describes one of the N utterances by its conversation and its id, for a message."""
    ends = np.cumsum(corpus.lengths, dtype=np.int64)
    conversation = int(np.searchsorted(ends, utterance, side="right"))
    name = corpus.conversation_ids[conversation]
    return f"conversation {name}, utterance {corpus.utterance_ids[utterance]}"


def check_key(name: object, place: str) -> None:
    """Raises an InputError if a name of a modality, a sequence or a target is invalid."""
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        expected = "a letter or digit, then letters, digits and any of _ - . ( ) + or a space"
        raise InputError(place, "an unusable name", f"{expected}, at most 100 characters")


def check_array(array: object, dtype: type, rank: int, place: str, axes: str) -> None:
    """Raises an InputError unless a value is an array of this type and number of axes."""
    if not isinstance(array, np.ndarray):
        found = f"a {type(array).__name__}"
    elif array.dtype != dtype or array.ndim != rank:
        found = f"{array.dtype} of shape {array.shape}"
    else:
        return
    raise InputError(place, found, f"an array {axes} of {np.dtype(dtype).name}")


def is_line(text: str) -> bool:
    """Returns whether a text is printable, except for spaces and marks that join or part letters.

    Many scripts need these marks. Marks that change the direction of writing are not allowed, since
    they could make a line look like another one.

    Examples:
        >>> is_line("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"), is_line("two\\nlines")
        (True, False)
    """
    return text.isprintable() or all(
        c.isprintable() or (unicodedata.category(c) in ("Cf", "Zs") and c not in _DIRECTION_MARKS)
        for c in text
    )


def check_names(names: object, place: str, good: Callable[[str], bool] = str.isprintable) -> None:
    """Raises an InputError unless a value is a tuple of non-empty texts that satisfy `good`."""
    # Ids with line breaks would break messages, and tables of predictions.
    if not isinstance(names, tuple):
        raise InputError(place, f"a {type(names).__name__}", "a tuple of str")
    for position, name in enumerate(names):
        if type(name) is not str or not name or not good(name):
            raise InputError(place, f"{name!r:.60} at position {position}", "printable text")


def check_count(values: Sized, count: int, place: str, other: str) -> None:
    """Raises an InputError unless the number of values equals that of another field."""
    if len(values) != count:
        raise InputError(place, f"{len(values)} entries", f"{count}, as many as {other}")


def _check_values(corpus: Any, values: Any, kind: Kind, where: str) -> None:
    """Checks the type, the shape and the number of entries of an array or tuple."""
    if kind.is_text:
        check_names(values, where)
    else:
        axis = {UTTERANCES: "[N]", CONVERSATIONS: "[conversations]"}.get(kind.axis, "")
        check_array(values, kind.dtype, kind.rank, where, axis)
    if kind.axis == UTTERANCES:
        check_count(values, len(corpus.utterance_ids), where, "utterance_ids")
    elif kind.axis == CONVERSATIONS:
        check_count(values, len(corpus.lengths), where, "lengths")


def _refuse_entry(
    corpus: Any, array: np.ndarray, wrong: np.ndarray, place: str, expected: str
) -> None:
    """Raises an InputError for the first wrong entry of [N], if there is one."""
    if wrong.any():
        first = int(np.argmax(wrong))
        where = f"{place}: {name_utterance(corpus, first)}"
        raise InputError(where, f"{array[first]}", expected)


def _check_lengths(corpus: Any, place: str) -> None:
    lengths = corpus.lengths
    check_array(lengths, np.int32, 1, f"{place}: lengths", "[conversations]")
    check_names(corpus.conversation_ids, f"{place}: conversation_ids")
    check_names(corpus.utterance_ids, f"{place}: utterance_ids")
    if not len(lengths) or not corpus.utterance_ids:
        raise InputError(place, "an empty corpus", "at least one conversation of one utterance")
    check_count(corpus.conversation_ids, len(lengths), f"{place}: conversation_ids", "lengths")
    for name, length in zip(corpus.conversation_ids, lengths.tolist(), strict=True):
        if length < 1:
            raise InputError(f"{place}: conversation {name}", f"length {length}", "at least 1")
    total, utterances = int(lengths.sum(dtype=np.int64)), len(corpus.utterance_ids)
    if total != utterances:
        expected = f"their sum to be the number of utterances, {utterances}"
        raise InputError(f"{place}: lengths", f"a sum of {total}", expected)


def _check_split(corpus: Any, place: str) -> None:
    for name, part in zip(corpus.conversation_ids, corpus.split or (), strict=False):
        if part not in SPLIT_NAMES:
            where = f"{place}: split of conversation {name}"
            raise InputError(where, repr(part), nearest(part, SPLIT_NAMES))


def _check_unique(corpus: Any, place: str) -> None:
    first_seen: dict[str, int] = {}
    start = 0
    for index, name in enumerate(corpus.conversation_ids):
        where = f"{place}: conversation {name}"
        first = first_seen.setdefault(name, index)
        if first != index:
            if corpus.split is not None and corpus.split[first] != corpus.split[index]:
                both = f"in two splits, {corpus.split[first]} and {corpus.split[index]}"
                raise InputError(where, both, "each conversation in one split")
            raise InputError(where, "its id occurs twice", "unique conversation ids")
        stop = start + int(corpus.lengths[index])
        seen: set[str] = set()
        for utterance in corpus.utterance_ids[start:stop]:
            if utterance in seen:
                expected = "unique utterance ids in a conversation"
                raise InputError(f"{where}, utterance {utterance}", "its id occurs twice", expected)
            seen.add(utterance)
        start = stop


def _check_labels(corpus: Any, place: str) -> None:
    names, labels = corpus.label_names, corpus.labels
    if len(set(names)) != len(names):
        raise InputError(f"{place}: label_names", "a name occurs twice", "unique label names")
    wrong = np.flatnonzero((labels < -1) | (labels >= len(names)))
    if len(wrong):
        where = f"{place}: {name_utterance(corpus, int(wrong[0]))}"
        expected = f"-1 or an index into the {len(names)} label names"
        if (labels[wrong] == len(names)).all() and not (labels == 0).any():
            expected += "; indices are from 0: subtract 1 from ratings that start at 1"
        raise InputError(where, f"label {labels[wrong[0]]} out of range", expected)
