"""Another corpus as the test part: what must match, what of it is scored, both as one corpus."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mman_jax.data import leaks, protocols
from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED

_UNKNOWN = "unknown"


def test_part(corpus: Corpus) -> tuple[np.ndarray, str]:
    """The conversations of a corpus that are scored, and which they are in words.

    They are those of its own test part if it has one, else all.
    """
    own = np.flatnonzero(np.array(corpus.split or ()) == "test")
    if len(own):
        return own, f"the {len(own)} conversations of its own test part"
    everything = np.arange(len(corpus.lengths))
    return everything, f"all its {len(everything)} conversations (it has no test part of its own)"


def matched(other: Corpus, corpus: Corpus, conversations: Sequence[int]) -> Corpus:
    """Another corpus with the modalities and the label names of the one that is trained on.

    Label names are matched without regard to case, and by their common short forms.

    Args:
        other: the corpus to test on.
        corpus: the one that is trained on.
        conversations: of the other corpus, those that are scored.

    Raises:
        InputError: a modality that the other corpus lacks or that has another size, a label of
            scored utterances that the training corpus does not have, or no labelled utterance.
    """
    other = other.select_modalities(list(corpus.features))
    for name, size in corpus.dims.items():
        if other.dims[name] != size:
            found = f"{other.dims[name]} features"
            expected = f"the {size} of {corpus.source or 'the training corpus'}"
            raise InputError(f"{other.source}, modality {name}", found, expected)
    exact = {name: number for number, name in enumerate(corpus.label_names)}
    alike = {protocols.emotion(name): number for name, number in exact.items()}
    labels = other.labels[_rows(other, conversations)]
    numbers, unknown = np.full(len(other.label_names) + 1, UNSCORED, np.int32), []
    for number, name in enumerate(other.label_names):
        numbers[number] = exact.get(name, alike.get(protocols.emotion(name), UNSCORED))
        if numbers[number] == UNSCORED and (labels == number).any():
            unknown.append(name)
    if unknown:
        found = f"labels that are not trained on: {', '.join(unknown)}"
        known = f"{', '.join(corpus.label_names)} (map the others, or to nothing: {unknown[0]}=)"
        raise InputError(other.source or "test corpus", found, known)
    if (labels == UNSCORED).all() and not corpus.targets.keys() & other.targets.keys():
        raise InputError(other.source or "test corpus", "no labelled utterance", "some to score")
    return dataclasses.replace(other, labels=numbers[other.labels], label_names=corpus.label_names)


def joined(corpus: Corpus, split: Split, other: Corpus) -> tuple[Corpus, Split]:
    """One corpus of the training and validation parts of one and the test part of another.

    The own test part is left out. Their conversations are looked through for what stands in both
    (see `leaks.check`).

    Args:
        corpus: that is trained on.
        split: of that.
        other: that is tested on.

    Raises:
        InputError: what `matched` refuses; or if the same conversations are in both.
    """
    scored, which = test_part(other)
    other = matched(other, corpus, scored)
    own = np.union1d(split.train, split.valid)
    ids, notices = _told_apart(corpus, own, other, scored)
    both = _concatenated(corpus, own, other, scored, ids)
    parts = {
        "train": np.searchsorted(own, split.train),
        "valid": np.searchsorted(own, split.valid),
        "test": len(own) + np.arange(len(scored)),
    }
    how = f"test: {which}, of {other.source or 'another corpus'}, by whose side the own test part "
    how += f"is not used; {corpus.source or 'the training corpus'}: {split.how}"
    return both, Split(**parts, how=how, notices=(*notices, *leaks.check(both, parts)))


def _told_apart(
    corpus: Corpus, own: np.ndarray, other: Corpus, scored: np.ndarray
) -> tuple[list[str], tuple[str, ...]]:
    """Ids of the scored conversations that are none of the own ones, and what to tell of them."""
    lengths = {corpus.conversation_ids[c]: int(corpus.lengths[c]) for c in own}
    ids = [other.conversation_ids[c] for c in scored]
    shared = [c for c in scored if other.conversation_ids[c] in lengths]
    if not shared:
        return ids, ()
    names = [other.conversation_ids[c] for c in shared]
    told = f"{len(shared)} of {len(ids)} test conversations have the id of one in training or "
    told += f"validation (first {names[0]})"
    alike = sum(lengths[other.conversation_ids[c]] == other.lengths[c] for c in shared)
    if 2 * alike > len(shared):  # numbers as ids meet by chance, numbers of utterances do not
        found = f"{told}, {alike} of them with as many utterances"
        expected = "conversations that are not trained on"
        raise InputError(f"{other.source or 'test corpus'}: conversation_ids", found, expected)
    taken = lengths.keys() | set(ids)
    for place, name in enumerate(ids):
        while ids[place] in lengths or (ids[place] != name and ids[place] in taken):
            ids[place] += " (test)"
        taken.add(ids[place])
    return ids, (f"{told}, of other lengths: taken for others",)


def _concatenated(
    corpus: Corpus, own: np.ndarray, other: Corpus, scored: np.ndarray, ids: list[str]
) -> Corpus:
    rows, theirs = _rows(corpus, own), _rows(other, scored)

    def several(values: tuple[str, ...] | None, others: tuple[str, ...] | None, where, there):
        if values is None:
            return None
        mine = tuple(values[i] for i in where)
        return mine + tuple(others[i] if others else _UNKNOWN for i in there)

    def there(one: Corpus, name: str, which: np.ndarray) -> np.ndarray:
        present = one.present.get(name)
        return np.ones(len(which), bool) if present is None else present[which]

    lacking = {name: None for name in (*corpus.present, *other.present)}
    nothing = np.full(len(other.labels), np.nan, np.float32)
    nobody = np.zeros(len(other.labels), np.int32)
    return dataclasses.replace(
        corpus,
        features={
            name: np.concatenate([values[rows], other.features[name][theirs]])
            for name, values in corpus.features.items()
        },
        labels=np.concatenate([corpus.labels[rows], other.labels[theirs]]),
        lengths=np.concatenate([corpus.lengths[own], other.lengths[scored]]),
        conversation_ids=(*(corpus.conversation_ids[c] for c in own), *ids),
        utterance_ids=several(corpus.utterance_ids, other.utterance_ids, rows, theirs),
        speakers=several(corpus.speakers, other.speakers, rows, theirs),
        sessions=several(corpus.sessions, other.sessions, own, scored),
        split=None,
        present={
            name: np.concatenate([there(corpus, name, rows), there(other, name, theirs)])
            for name in lacking
        },
        targets={
            name: np.concatenate([values[rows], other.targets.get(name, nothing)[theirs]])
            for name, values in corpus.targets.items()
        },
        votes={
            name: np.concatenate([values[rows], other.votes.get(name, nobody)[theirs]])
            for name, values in corpus.votes.items()
        },
        groups={
            name: several(values, other.groups.get(name), rows, theirs)
            for name, values in corpus.groups.items()
        },
        source_notes=(*corpus.source_notes, *other.source_notes),
    )


def _rows(corpus: Corpus, conversations: Sequence[int]) -> np.ndarray:
    spans = [np.arange(*corpus.offsets[c : c + 2]) for c in conversations]
    return np.concatenate([np.arange(0), *spans])
