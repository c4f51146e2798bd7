"""Pickles keyed by conversation: the nine-tuple of conv-emotion, and its many descendants.

A file is a tuple or list. Some of its parts are dicts keyed by conversation, others the
conversations of a part of the split. The number and the content of the parts identify the layout.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import items, meld, pooling, table
from mman_jax.errors import InputError
from mman_jax.files import unpickler

_LEAST_BYTES = 6  # smallest size of an utterance: an id, a speaker, a label and three vectors
_PARTS = ("train", "test", "valid")


class Layout(NamedTuple):
    """The layout of a public file.

    Attributes:
        name: Name in words.
        pattern: Regular expression of its parts: `d`, a dict by conversation; `v`, a dict of
            vectors of floats (they distinguish COSMIC's ten parts from MMGCN's); `i`, a set or
            list; `o`, anything else.
        fields: Meanings of the parts, in order; `rest` is ignored.
        meld: Whether its conversations are MELD's.
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

_EXPECTED = (
    "the 9-tuple (ids, speakers, labels, text, speech, visual, sentences, train, test) or a "
    "similar one of 6 to 13 parts (see docs/corpora.md)"
)


def recognises(loaded: object) -> bool:
    """Returns whether a pickle looks like one of these layouts, even if it is invalid."""
    if not isinstance(loaded, list | tuple) or not 6 <= len(loaded) <= 13:
        return False
    return sum(isinstance(part, dict) for part in loaded) >= 3


def recognises_sentences(loaded: object) -> bool:
    """Returns whether a pickle has only the words of each conversation's utterances."""
    if not isinstance(loaded, dict) or not loaded:
        return False
    words = next(iter(loaded.values()))
    return isinstance(words, list | tuple) and bool(words) and _is_words(words[0])


def read_sentences(path: Path, sentences: Any, pool: pooling.How) -> table.Table:
    """Reads words with the pickle of labels in the same folder: `x.pkl` of `x_sentences.pkl`."""
    place = path.with_name(path.name.replace("_sentences", ""))
    if place == path or not place.is_file():
        found = "words by conversation, without labels"
        raise InputError(path, found, f"COSMIC's pickle of labels, {place.name}, next to it")
    loaded: Any = unpickler.load(place)
    fields = layout_of(str(place), loaded).fields if recognises(loaded) else ()
    if "sentences" not in fields:
        raise InputError(place, "no labels by conversation", "COSMIC's pickle of labels")
    parts = dict(zip(range(len(fields)), loaded, strict=True)) | {
        fields.index("sentences"): sentences
    }
    return read(str(place), list(parts.values()), pool, str(path))


def read(place: str, loaded: Any, pool: pooling.How, words: str = "") -> table.Table:
    """Reads a loaded pickle, sorted by conversation id; `words` is the file of its sentences.

    Conversations outside of the split are left out. If the ids look like IEMOCAP's, the labels are
    its six emotions, sessions are the first five characters, and a speaker is named by session and
    M or F. MELD's labels are its seven emotions; any other classes are named by their numbers.
    Otherwise, a speaker is named by the conversation and the name within it.
    """
    layout = layout_of(place, loaded)
    notes: list[str] = []
    parts = _parts(place, layout, loaded)
    split = _split(place, layout, parts, notes)
    names = sorted(split)
    columns = _Columns(place, parts, names)
    raw_labels, raw_speakers = columns.column("labels"), columns.column("speakers")
    is_meld = layout.meld and all(name.isdigit() for name in names)
    is_iemocap = not layout.meld and all(re.match(r"Ses\d\d", name) for name in names)
    is_rating = all(isinstance(value, float | np.floating) for value in raw_labels)
    if is_rating and any(value != np.round(value) for value in raw_labels):
        is_iemocap, ratings = False, np.array(raw_labels, np.float32)
        labels = table.Labels(table.by_sign(ratings), table.POLARITY, {"rating": ratings})
        notes.append(
            "labels: numbers, by their sign (target rating); AVEC's file does not say whether they "
            "are valence, activation, expectation or power"
        )
    else:
        classes = np.array(list(map(items.label, raw_labels, columns.places)), np.int32)
        known = EMOTIONS if is_iemocap else meld.EMOTIONS if is_meld else ()
        wrong = np.flatnonzero(classes >= len(known))
        if known and len(wrong):
            found = f"label {classes[wrong[0]]} out of range"
            raise InputError(columns.places[wrong[0]], found, f"an index into {', '.join(known)}")
        labels = (
            table.Labels(classes, known)
            if known
            else table.numbered(classes, f"{place}: labels", notes)
        )
    rows = []
    for row, where, speaker in zip(columns.rows, columns.places, raw_speakers, strict=True):
        session = row.conversation[:5] if is_iemocap else None
        speaker_id = _speaker(speaker, row.conversation, is_iemocap, where)
        part = split[row.conversation]
        rows.append(row._replace(split=part, speaker=speaker_id, session=session))
    if "sentences" in parts and not any(field in layout.fields for field in ("text", "speech")):
        texts = _transcripts(words or place, columns)
        rows = [
            row._replace(clip=f"clips/{row.conversation}_{row.utterance}.wav", transcript=text)
            for row, text in zip(rows, texts, strict=True)
        ]
    if any(isinstance(speaker, list | tuple | np.ndarray) for speaker in raw_speakers):
        notes.append("speakers: roles in a dialogue (columns of one-hot vectors), not people")
    features = _features(place, layout, columns, notes)
    return table.Table(place, layout.name, rows, labels, notes, features)


def layout_of(place: str, loaded: Any) -> Layout:
    """Returns the layout of a pickle."""
    pattern = "".join(_letter(part) for part in loaded)
    for layout in _LAYOUTS:
        if len(layout.fields) == len(loaded) and re.fullmatch(layout.pattern, pattern):
            return layout
    fields = _LAYOUTS[0].fields
    if len(loaded) == len(fields):
        letters = zip(fields, pattern.replace("v", "d"), "dddddddii", strict=True)
        for position, (field, letter, expected) in enumerate(letters):
            if letter != expected:
                where = f"{place}: part {position} ({field})"
                kind = "a dict by conversation" if expected == "d" else "a set or list of their ids"
                found = f"a {type(loaded[position]).__name__}"
                raise InputError(where, found, f"{kind}, in {_EXPECTED}")
    raise InputError(place, f"a {type(loaded).__name__} of {len(loaded)}", _EXPECTED)


def _letter(part: object) -> str:
    if isinstance(part, dict):
        # Vectors, if most of the first conversations begin with a vector of floats.
        several = [values for values in itertools.islice(part.values(), 5) if _is_list(values)]
        vectors = [_is_vector(values[0]) for values in several if len(values)]
        return "v" if 2 * sum(vectors) > len(vectors) else "d"
    return "i" if isinstance(part, set | frozenset | list | tuple | np.ndarray) else "o"


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_vector(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and value.dtype.kind == "f"
    return isinstance(value, list | tuple) and any(isinstance(v, float) for v in value[:9])


def _parts(place: str, layout: Layout, loaded: Any) -> dict[str, Any]:
    """Returns the parts by field; conversation ids become text, and numbers are padded with
    zeros."""
    parts: dict[str, Any] = {}
    for position, (field, value) in enumerate(zip(layout.fields, loaded, strict=True)):
        where = f"{place}: part {position} ({field})"
        if field in _PARTS:
            parts[field] = [items.text(name, where) for name in value]
        elif field != "rest":
            parts[field] = {items.text(name, where): values for name, values in value.items()}
            if len(parts[field]) < len(value):
                raise InputError(where, "a conversation id twice, as different types", "once")
    known = {name for field in _PARTS for name in parts.get(field, ())}
    if known and all(re.fullmatch(r"\d{1,9}", name) for name in known):
        width = max(4 if layout.meld else 1, *(len(name) for name in known))
        for field, value in parts.items():
            if field in _PARTS:
                parts[field] = [name.zfill(width) for name in value]
            else:
                parts[field] = {name.zfill(width): values for name, values in value.items()}
    return parts


def _split(
    place: str, layout: Layout, parts: Mapping[str, Any], notes: list[str]
) -> dict[str, str]:
    """Returns the part of each conversation."""
    split: dict[str, str] = {}
    for part in _PARTS:
        for name in parts.get(part, ()):
            where = f"{place}: conversation {name}"
            if split.setdefault(name, part) != part:
                raise InputError(where, f"in two splits, {split[name]} and {part}", "one split")
            if name not in parts["labels"]:
                raise InputError(where, f"in the {part} ids but without labels", "in both")
    if not split:
        raise InputError(place, "an empty corpus: no ids in train and test", "at least one")
    if layout.meld and "valid" not in split.values():
        first, end = (f"{items.MELD_PARTS[part]:04d}" for part in ("valid", "test"))
        valid = [name for name in split if first <= name < end and split[name] == "train"]
        split |= dict.fromkeys(valid, "valid")
        if valid:
            notes.append(
                f"validation: the {len(valid)} dialogues {first} to {int(end) - 1} of the training "
                "ids, MELD's published development part"
            )
    out = len(parts["labels"].keys() - split.keys())
    if out:
        notes.append(f"{out} conversations are in no part of the split and left out")
    return split


class _Columns:
    """The utterances of all conversations, in order; without ids, they are named by position."""

    def __init__(self, place: str, parts: Mapping[str, Any], names: list[str]):
        self._place, self._parts = place, parts
        self._first = "ids" if "ids" in parts else "labels"
        self._lengths: dict[str, int] = {}
        self.rows: list[table.Row] = []
        budget = items.Budget(place)
        for name in names:
            where, values = f"{place}: conversation {name}", self._items(self._first, name)
            self._lengths[name] = len(values)
            if not len(values):
                raise InputError(where, "no utterances", "at least one")
            budget.spend(_LEAST_BYTES * len(values), where)
            ids: Iterable[Any] = values if "ids" in parts else range(len(values))
            self.rows += [table.Row(name, items.text(value, f"{where}: ids")) for value in ids]
        self.places = [
            f"{place}: conversation {r.conversation}, utterance {r.utterance}" for r in self.rows
        ]

    def column(self, field: str) -> list[Any]:
        """Returns the items of all utterances."""
        column: list[Any] = []
        for name, length in self._lengths.items():
            values = self._items(field, name)
            if len(values) != length:
                where = f"{self._place}: conversation {name}: {field}"
                expected = f"{length}, as in {self._first}"
                raise InputError(where, f"{len(values)} utterances", expected)
            column.extend(values)
        return column

    def _items(self, field: str, name: str) -> np.ndarray | list[Any] | tuple[Any, ...]:
        where = f"{self._place}: conversation {name}: {field}"
        if name not in self._parts[field]:
            raise InputError(where, "no entry for this conversation", "one")
        expected = "a list with one item per utterance"
        return items.sequence(self._parts[field][name], where, expected)


def _features(
    place: str, layout: Layout, columns: _Columns, notes: list[str]
) -> dict[str, np.ndarray]:
    """Returns [N, D] of each modality; several blocks of text are averaged."""
    features: dict[str, np.ndarray] = {}
    budget = items.Budget(place)
    for modality in ("speech", "visual", "text"):
        fields = [field for field in layout.fields if field.rstrip("234") == modality]
        blocks: list[np.ndarray] = []
        for field in fields:
            collector = pooling.Collector(field, None)
            for value, utterance in zip(columns.column(field), columns.places, strict=True):
                where = f"{utterance}, modality {modality}"
                vector = items.vector(value, where)
                budget.spend(len(vector), place)
                collector.add_vectors(vector[None], where)
            blocks.append(collector.features)
            if blocks[-1].shape != blocks[0].shape:
                expected = f"{blocks[0].shape[1]}, as in {modality}"
                raise InputError(place, f"{blocks[-1].shape[1]} features in {field}", expected)
        if blocks:
            features[modality] = functools.reduce(np.add, blocks)
        if len(blocks) > 1:
            features[modality] = features[modality] / np.float32(len(blocks))
            notes.append(f"{modality}: the mean of its {len(blocks)} blocks")
    return features


def _is_words(value: object) -> bool:
    texts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(text, str) for text in texts[:9])


def _transcripts(place: str, columns: _Columns) -> list[str]:
    """Returns the words of each utterance, from texts or lists of words."""
    budget, texts = items.Budget(place), []
    for value, where in zip(columns.column("sentences"), columns.places, strict=True):
        parts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(
                where, f"words as a {type(value).__name__}", "text, or a list of words"
            )
        budget.spend(sum(map(len, parts)) // 8, where)  # a pickle stores equal texts once
        texts.append(" ".join(parts))
    return texts


def _speaker(value: object, conversation: str, is_iemocap: bool, place: str) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        flags = items.vector(value, f"{place}: speaker")
        on = np.flatnonzero(flags)
        if not len(flags) or len(on) > 1:
            raise InputError(place, f"{len(on)} speakers", "a one-hot vector")
        return f"{conversation}_{on[0] if len(on) else 'other'}"
    name = items.text(value, place, "a speaker")
    if is_iemocap and name not in ("M", "F"):
        raise InputError(place, f"speaker {name!r:.40}", "M or F")
    return f"{conversation[:5] if is_iemocap else conversation}_{name}"
