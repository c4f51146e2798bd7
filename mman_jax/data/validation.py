"""What makes a corpus valid; everything that is not is refused by the name of its place."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mman_jax.data.checks import check_array, check_count, check_key, check_names
from mman_jax.data.fields import CONVERSATIONS, MODALITY, UTTERANCES, Kind, entries, kinds
from mman_jax.errors import InputError, nearest

TOLD = ("speaker", "session")
"""Names that no `groups` may have: scores are told by these where a corpus knows them."""

SPLIT_NAMES = ("train", "valid", "test")

_CHUNK_VALUES = 1 << 20

ONE_VECTOR = "[N, D], one vector an utterance: average frames [N, T, D] over T first"
CLASSES = "class indices from 0 as int32 (numbers to predict are targets/<name>)"


def check_facts(corpus: Any) -> None:
    """Raises InputError for the first thing in a corpus, its features aside, that does not fit."""
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
    for rule in (_check_split, _check_labels, _check_targets, _check_groups, _check_votes):
        rule(corpus, place)
    check_names(corpus.source_notes, f"{place}: source_notes")


def _check_values(corpus: Any, values: object, kind: Kind, where: str) -> None:
    """Checks the type, the shape and the number of one array or tuple."""
    axis = {UTTERANCES: "[N]", CONVERSATIONS: "[conversations]"}.get(kind.axis, "")
    if kind.is_text:
        check_names(values, where)
    else:
        check_array(values, kind.dtype, kind.rank, where, axis)
    if kind.axis == UTTERANCES:
        check_count(values, len(corpus.utterance_ids), where, "utterance_ids")
    elif kind.axis == CONVERSATIONS:
        check_count(values, len(corpus.lengths), where, "lengths")


def row_chunks(array: np.ndarray, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Slices over the rows of [N, D], each of a bounded number of values."""
    stop = len(array) if stop is None else stop
    step = max(1, _CHUNK_VALUES // max(1, array.shape[1]))
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


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
            raise InputError(where, "its id comes twice", "unique conversation ids")
        stop = start + int(corpus.lengths[index])
        seen: set[str] = set()
        for utterance in corpus.utterance_ids[start:stop]:
            if utterance in seen:
                expected = "unique utterance ids in a conversation"
                raise InputError(f"{where}, utterance {utterance}", "its id comes twice", expected)
            seen.add(utterance)
        start = stop


def _check_labels(corpus: Any, place: str) -> None:
    names = corpus.label_names
    if len(set(names)) != len(names):
        raise InputError(f"{place}: label_names", "a name comes twice", "unique label names")
    wrong = np.flatnonzero((corpus.labels < -1) | (corpus.labels >= len(names)))
    if len(wrong):
        where = f"{place}: {name_utterance(corpus, int(wrong[0]))}"
        expected = f"-1 or an index into the {len(names)} label names"
        if (corpus.labels[wrong] == len(names)).all() and not (corpus.labels == 0).any():
            expected += "; indices are from 0: subtract 1 from ratings that start at 1"
        raise InputError(where, f"label {int(corpus.labels[wrong[0]])} out of range", expected)


def check_features(corpus: Any) -> None:
    """Raises InputError for the first thing in a corpus's features that does not fit."""
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
            raise InputError(where, found, f"{utterances}, one row an utterance")
        if not array.shape[1]:
            raise InputError(where, "no features (D = 0)", "at least one feature")
    _check_present(corpus, place)
    for modality, array in corpus.features.items():
        present = corpus.present.get(modality)
        for rows in row_chunks(array):
            finite = np.isfinite(array[rows])
            if present is not None:
                finite |= ~present[rows, None]
            if not finite.all():
                row, column = (int(i) for i in np.argwhere(~finite)[0])
                utterance = rows.start + row
                where = f"{place}: {name_utterance(corpus, utterance)}, modality {modality}"
                found = f"{array[utterance, column]} in column {column}"
                expected = f"finite features, or the modality told as missing (present/{modality})"
                raise InputError(where, found, expected)


def _check_targets(corpus: Any, place: str) -> None:
    for name, array in corpus.targets.items():
        infinite = np.flatnonzero(np.isinf(array))
        if len(infinite):
            where = f"{place}: targets/{name}: {name_utterance(corpus, int(infinite[0]))}"
            found = f"{array[infinite[0]]}"
            raise InputError(where, found, "a number, or NaN: context only")


def _check_groups(corpus: Any, place: str) -> None:
    for name in corpus.groups:
        if name in TOLD:
            where = f"{place}: groups/{name}"
            raise InputError(where, "what the corpus tells otherwise", f"{name}s, or another name")


def _check_votes(corpus: Any, place: str) -> None:
    for label, array in corpus.votes.items():
        where = f"{place}: votes/{label}"
        if label not in corpus.label_names:
            raise InputError(where, "an unknown label", nearest(label, corpus.label_names))
        negative = np.flatnonzero(array < 0)
        if len(negative):
            utterance = name_utterance(corpus, int(negative[0]))
            raise InputError(f"{where}: {utterance}", f"{array[negative[0]]}", "raters, from 0")


def _check_present(corpus: Any, place: str) -> None:
    kind = kinds(corpus)["present"]
    for modality, array in corpus.present.items():
        where = f"{place}: present/{modality}"
        if modality not in corpus.features:
            raise InputError(where, "an unknown modality", nearest(modality, corpus.features))
        _check_values(corpus, array, kind, where)


def name_utterance(corpus: Any, utterance: int) -> str:
    """The conversation and the id of one of the N utterances, for a message."""
    ends = np.cumsum(corpus.lengths, dtype=np.int64)
    conversation = int(np.searchsorted(ends, utterance, side="right"))
    name = corpus.conversation_ids[conversation]
    return f"conversation {name}, utterance {corpus.utterance_ids[utterance]}"
