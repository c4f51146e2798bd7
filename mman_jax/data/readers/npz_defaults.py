"""What an archive of one's own need not say: ids, names, lengths and order have defaults."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.fields import CONVERSATIONS, UTTERANCES, Kind
from mman_jax.data.readers import table
from mman_jax.data.sequences import Sequence, taken
from mman_jax.errors import InputError


def corpus(place: str, given: Mapping[str, Any]) -> Corpus:
    """The corpus of an archive's arrays.

    Labels that are text become classes in alphabetical order, an empty one none. Lengths may be
    given as `conversation` [N], an id an utterance; utterances of one that stand apart are brought
    together. Without either, each utterance is a conversation of one. `split`, `sessions` may then
    be an entry an utterance. Conversations and utterances without ids are numbered.

    Args:
        place: for messages, and the source.
        given: arrays by field, those of a field with several by name; and `conversation`.

    Raises:
        InputError: what does not fit together, and no corpus may be.
    """
    notes = list(_texts(given, "source_notes") or ())
    count = len(given["labels"])
    labels, label_names = _labels(place, given, notes)
    lengths, ids, order = _conversations(place, given, count, notes)
    known = {"labels": labels, "label_names": label_names}
    known |= {"lengths": lengths, "conversation_ids": ids}
    found: dict[str, Any] = {}
    for name, kind in fields.kinds(Corpus).items():
        values = known.get(name, given.get(name))
        if values is None:
            continue
        if kind.by:
            found[name] = {
                key: _values(f"{place}: {name}/{key}", kind, array, count, order)
                for key, array in values.items()
            }
        elif kind.axis == CONVERSATIONS and name not in known:
            found[name] = _of_conversations(place, given, name, lengths, order)
        else:
            found[name] = _values(f"{place}: {name}", kind, values, count, order)
    if "utterance_ids" not in found:
        notes.append("utterance_ids: not given, numbered in each conversation")
        found["utterance_ids"] = tuple(str(u) for length in lengths for u in range(max(0, length)))
    return Corpus(**found, source=place, source_notes=tuple(notes))


def _values(
    place: str, kind: Kind, values: Any, count: int, order: np.ndarray | None
) -> np.ndarray | tuple[str, ...] | Sequence:
    """Values of a field in the corpus's order; what does not fit is refused as it stands."""
    if kind.is_text and isinstance(values, np.ndarray):
        values = tuple(map(str, values.tolist()))
    if order is None or kind.axis != UTTERANCES:
        return values
    if isinstance(values, Sequence):
        return taken(values, order) if values.fits(count) else values
    if len(values) == count:
        return fields.taken(values, order)
    if kind.is_text:
        return values
    raise InputError(place, f"{len(values)} entries", f"{count}, as labels")


def _texts(facts: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    return tuple(map(str, facts[key].tolist())) if key in facts else None


def _labels(
    place: str, facts: Mapping[str, Any], notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    labels, names = facts["labels"], _texts(facts, "label_names")
    if labels.dtype.kind == "U":
        given = labels.tolist()
        if names is None:
            found, names = table.labelled(given)
            notes.append(f"label_names: not given, those found: {', '.join(names)[:200]}")
            return found, names
        for row, label in enumerate(given):
            if label and label not in names:
                expected = f"one of label_names ({', '.join(names)[:200]}), or empty: none"
                raise InputError(f"{place}: labels: row {row}", f"{label!r:.60}", expected)
        return table.labelled(given, names)
    if names is None:
        names = table.numbered(labels, f"{place}: labels")[1]
        notes.append("label_names: not given, named by their numbers")
    return labels, names


def _conversations(
    place: str, facts: Mapping[str, Any], count: int, notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray | None]:
    """The lengths and the ids, and the order to bring utterances into, where that is another."""
    ids = _texts(facts, "conversation_ids")
    if "conversation" in facts:
        if "lengths" in facts:
            found = "beside lengths, which say the same"
            raise InputError(f"{place}: conversation", found, "one of the two")
        own = [str(name) for name in facts["conversation"].tolist()]
        if len(own) != count:
            found = f"{len(own)} entries"
            raise InputError(f"{place}: conversation", found, f"{count}, as many as labels")
        first: dict[str, int] = {}
        of = np.array([first.setdefault(name, len(first)) for name in own], np.int64)
        if ids is not None and set(ids) != set(first):
            found = "other ids than in conversation"
            raise InputError(f"{place}: conversation_ids", found, "the same, or none")
        order = None
        if (np.diff(of) < 0).any():
            order = np.argsort(of, kind="stable")
            notes.append("conversation: utterances that stood apart are brought together")
        return np.bincount(of, minlength=len(first)).astype(np.int32), tuple(first), order
    lengths = facts.get("lengths")
    if lengths is None:
        notes.append("lengths: not given, each utterance is a conversation of one")
        lengths = np.ones(count, np.int32)
    if ids is None:
        width = len(str(max(0, len(lengths) - 1)))
        ids = tuple(f"c{number:0{width}d}" for number in range(len(lengths)))
        notes.append("conversation_ids: not given, numbered")
    return lengths, ids, None


def _of_conversations(
    place: str,
    facts: Mapping[str, Any],
    key: str,
    lengths: np.ndarray,
    order: np.ndarray | None,
) -> tuple[str, ...] | None:
    """An entry a conversation, of one a conversation or one an utterance."""
    values = _texts(facts, key)
    total = len(facts["labels"])
    if values is None or len(values) == len(lengths) or len(values) != total:
        return values
    if "conversation" not in facts and int(lengths.sum()) != total:
        return values
    if order is not None:
        values = tuple(values[i] for i in order)
    found, start = [], 0
    for number, length in enumerate(lengths.tolist()):
        here = set(values[start : start + length])
        if len(here) != 1:
            both = " and ".join(sorted(here)[:3])
            where = f"{place}: {key}: conversation number {number}"
            raise InputError(where, f"{both} in one conversation", "one of them")
        found += here
        start += length
    return tuple(found)
