"""Pickles keyed by conversation: the nine-tuple of conv-emotion, and what others made of it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import columns, items, names, pooling, table, tuples
from mman_jax.data.readers.tuples import Layout, recognises
from mman_jax.errors import InputError

__all__ = ["read", "recognises"]

_LEAST_BYTES = 6  # of an utterance in a file: an id, a speaker, a label and three vectors
_PARTS = ("train", "test", "valid")


def read(place: str, loaded: Any, pool: pooling.How) -> table.Table:
    """The utterances of a loaded pickle; conversations are sorted by id.

    Conversations in no part of the split are left out. Where the ids look like IEMOCAP's, labels
    are its six emotions, sessions are the first five characters, and a speaker is a session and M
    or F; MELD's labels are its seven emotions; else labels are named by their numbers. A speaker
    is otherwise a conversation and a name in it.

    Args:
        place: the file.
        loaded: what it holds.
        pool: of no use here: these files have one vector an utterance.

    Raises:
        InputError: another number or kind of parts; the conversation, utterance and modality of
            whatever does not fit.
    """
    del pool
    layout = tuples.layout_of(place, loaded)
    parts, notes = _parts(place, layout, loaded), []
    split = _split(place, layout, parts, notes)
    conversations = sorted(split)
    ids, lengths = _utterances(place, parts, conversations)
    facts = {
        field: [
            item
            for name, length in zip(conversations, lengths, strict=True)
            for item in columns.column(place, parts, field, name, length)
        ]
        for field in layout.fields
        if field in ("speakers", "labels")
    }
    of = [name for name, n in zip(conversations, lengths, strict=True) for _ in range(n)]
    wheres = [f"{place}: conversation {c}, utterance {u}" for c, u in zip(of, ids, strict=True)]
    features = columns.features(place, layout, parts, conversations, lengths, ids, notes)
    meld = layout.meld and all(name.isdigit() for name in conversations)
    iemocap = not layout.meld and all(re.match(r"Ses\d\d", name) for name in conversations)
    ratings = _ratings(facts["labels"])
    if ratings is None:
        labels = np.array(list(map(items.label, facts["labels"], wheres)), np.int32)
        label_names = _label_names(place, labels, iemocap, meld, wheres, notes)
    else:
        iemocap = False
        labels, label_names = table.by_sign(ratings), table.POLARITY
        notes.append(
            "labels: numbers, by their sign (target rating); AVEC's file does not say whether they "
            "are valence, activation, expectation or power"
        )
    speakers = [
        _speaker(speaker, name, iemocap, where)
        for speaker, name, where in zip(facts["speakers"], of, wheres, strict=True)
    ]
    if any(isinstance(speaker, list | tuple | np.ndarray) for speaker in facts["speakers"]):
        notes.append("speakers: roles in a dialogue (columns of one-hot vectors), not people")
    return table.Table(
        place=place,
        layout=layout.name,
        conversation_ids=of,
        utterance_ids=ids,
        labels=labels,
        label_names=label_names,
        features=features,
        targets={} if ratings is None else {"rating": ratings},
        split=[split[name] for name in of],
        speakers=speakers,
        sessions=[name[:5] for name in of] if iemocap else None,
        notes=notes,
    )


def _parts(place: str, layout: Layout, loaded: Any) -> dict[str, Any]:
    """The parts by field, their conversations as text: whole numbers of as many digits each."""
    parts: dict[str, Any] = {}
    for position, (field, value) in enumerate(zip(layout.fields, loaded, strict=True)):
        where = f"{place}: part {position} ({field})"
        if field == "rest":
            continue
        if field in _PARTS:
            parts[field] = [items.text(name, where) for name in value]
            continue
        parts[field] = {items.text(name, where): values for name, values in value.items()}
        if len(parts[field]) < len(value):
            raise InputError(where, "a conversation id twice, as text and otherwise", "once")
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
        first, end = (f"{names.MELD_PARTS[part]:04d}" for part in ("valid", "test"))
        held = [name for name in split if first <= name < end and split[name] == "train"]
        split |= dict.fromkeys(held, "valid")
        if held:
            notes.append(
                f"validation: the {len(held)} dialogues {first} to {int(end) - 1} of the training "
                "ids, MELD's published development part"
            )
    out = len(parts["labels"].keys() - split.keys())
    if out:
        notes.append(f"{out} conversations are in no part of the split and left out")
    return split


def _utterances(
    place: str, parts: Mapping[str, Any], conversations: list[str]
) -> tuple[list[str], list[int]]:
    """The ids of all utterances, by position where the file has none; how many in each."""
    found: list[str] = []
    lengths = []
    # One byte can refer to a list, again and again; honest files write each utterance out.
    budget = Path(place).stat().st_size
    field = "ids" if "ids" in parts else "labels"
    for name in conversations:
        where = f"{place}: conversation {name}"
        values = columns.sequence(parts, field, name, where)
        if not len(values):
            raise InputError(where, "no utterances", "at least one")
        budget -= _LEAST_BYTES * len(values)
        if budget < 0:
            raise InputError(where, "more utterances than the file holds", "a whole pickle")
        if field == "ids":
            found += [items.text(item, f"{where}: ids") for item in values]
        else:
            found += [str(position) for position in range(len(values))]
        lengths.append(len(values))
    return found, lengths


def _ratings(labels: list[Any]) -> np.ndarray | None:
    """[N] float32, where labels are fractions and not classes."""
    floats = all(isinstance(value, float | np.floating) for value in labels)
    if not floats or all(value == np.round(value) for value in labels):
        return None
    return np.array(labels, np.float32)


def _label_names(
    place: str, labels: np.ndarray, iemocap: bool, meld: bool, wheres: list[str], notes: list[str]
) -> tuple[str, ...]:
    known = EMOTIONS if iemocap else tuples.MELD if meld else ()
    if not known:
        notes.append("labels: named by their numbers, as the file does not say what they mean")
        return table.numbered(labels, f"{place}: labels")[1]
    wrong = np.flatnonzero(labels >= len(known))
    if len(wrong):
        found = f"label {labels[wrong[0]]} out of range"
        raise InputError(wheres[wrong[0]], found, f"an index into {', '.join(known)}")
    return known


def _speaker(value: object, conversation: str, iemocap: bool, place: str) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        flags = items.vector(value, f"{place}: speaker")
        on = np.flatnonzero(flags)
        if not len(flags) or len(on) > 1:
            raise InputError(place, f"{len(on)} speakers", "a one-hot vector")
        return f"{conversation}_{on[0] if len(on) else 'other'}"
    name = items.text(value, place, "a speaker")
    if iemocap and name not in ("M", "F"):
        raise InputError(place, f"speaker {name!r:.40}", "M or F")
    return f"{conversation[:5] if iemocap else conversation}_{name}"
