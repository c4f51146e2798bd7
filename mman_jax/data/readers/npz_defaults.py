"""What an archive of one's own need not say: ids, names, lengths and order have defaults."""

from collections.abc import Mapping

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import table
from mman_jax.data.sequences import Sequence, taken
from mman_jax.errors import InputError


def corpus(
    place: str,
    facts: Mapping[str, np.ndarray],
    features: Mapping[str, np.ndarray],
    present: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    votes: Mapping[str, np.ndarray],
    sequences: Mapping[str, Sequence],
) -> Corpus:
    """The corpus of an archive's arrays.

    Labels that are text become classes in alphabetical order, an empty one none. Lengths may be
    given as `conversation` [N], an id an utterance; utterances of one that stand apart are brought
    together. Without either, each utterance is a conversation of one. `split`, `sessions` may then
    be an entry an utterance. Conversations and utterances without ids are numbered.

    Args:
        place: for messages, and the source.
        facts: the arrays that are one of a kind, and `groups/<name>` [N].
        features: [N, D] by modality.
        present: [N] by modality.
        targets: [N] by name.
        votes: [N] by label.
        sequences: by modality.

    Raises:
        InputError: what does not fit together, and no corpus may be.
    """
    notes = list(_texts(facts, "source_notes") or ())
    count = len(facts["labels"])
    labels, label_names = _labels(place, facts, notes)
    lengths, ids, order = _conversations(place, facts, count, notes)
    arrays = {"labels": labels, **_prefixed("features", features), **_prefixed("targets", targets)}
    arrays |= _prefixed("present", present) | _prefixed("votes", votes)
    arrays |= {key: array for key, array in facts.items() if key.startswith("groups/")}
    utterances, speakers = _texts(facts, "utterance_ids"), _texts(facts, "speakers")
    if order is not None:
        for name, array in arrays.items():
            if len(array) != count:
                raise InputError(f"{place}: {name}", f"{len(array)} entries", f"{count}, as labels")
            arrays[name] = array[order]
        # One that does not fit is refused as it stands.
        sequences = {
            name: taken(one, order) if one.fits(count) else one for name, one in sequences.items()
        }
        utterances, speakers = (
            values if values is None or len(values) != count else tuple(values[i] for i in order)
            for values in (utterances, speakers)
        )
    if utterances is None:
        notes.append("utterance_ids: not given, numbered in each conversation")
        utterances = tuple(str(u) for length in lengths for u in range(max(0, length)))
    return Corpus(
        features=_group(arrays, "features"),
        present=_group(arrays, "present"),
        targets=_group(arrays, "targets"),
        groups={name: tuple(map(str, a.tolist())) for name, a in _group(arrays, "groups").items()},
        votes=_group(arrays, "votes"),
        sequences=dict(sequences),
        labels=arrays["labels"],
        label_names=label_names,
        lengths=lengths,
        conversation_ids=ids,
        utterance_ids=utterances,
        speakers=speakers,
        sessions=_of_conversations(place, facts, "sessions", lengths, order),
        split=_of_conversations(place, facts, "split", lengths, order),
        source=place,
        source_notes=tuple(notes),
    )


def _prefixed(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{group}/{name}": array for name, array in arrays.items()}


def _group(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    start = group + "/"
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}


def _texts(facts: Mapping[str, np.ndarray], key: str) -> tuple[str, ...] | None:
    return tuple(map(str, facts[key].tolist())) if key in facts else None


def _labels(
    place: str, facts: Mapping[str, np.ndarray], notes: list[str]
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
    place: str, facts: Mapping[str, np.ndarray], count: int, notes: list[str]
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
    facts: Mapping[str, np.ndarray],
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
