"""Cross-corpus evaluation: training on one corpus and testing on another."""

import dataclasses
from pathlib import PurePath
from typing import Any

import numpy as np

from mman_jax.data import fields, leaks
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.label_names import emotion
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED


def test_part(corpus: Corpus) -> tuple[np.ndarray, str]:
    """Returns the conversations of a corpus to score, and a description of them.

    These are its test part if there is one, otherwise all conversations.
    """
    test = np.flatnonzero(np.array(corpus.split or ()) == "test")
    if len(test):
        return test, f"the {len(test)} conversations of its test part"
    everything = np.arange(len(corpus.lengths))
    return everything, f"all its {len(everything)} conversations (it has no test part)"


def match(other: Corpus, corpus: Corpus, conversations: Indices) -> Corpus:
    """Selects conversations of another corpus, with the modalities and labels of `corpus`.

    Label names are matched without regard to case, and by synonyms.

    Raises:
        InputError: A modality of `other` is missing or has another size, a label of a scored
            utterance is unknown to `corpus`, or no utterance is labelled.
    """
    source = other.source or "test corpus"
    other = other.select_modalities(list(corpus.features))
    for name, size in corpus.dims.items():
        if other.dims[name] != size:
            expected = f"the {size} of {corpus.source or 'the training corpus'}"
            place = f"{other.source}, modality {name}"
            raise InputError(place, f"{other.dims[name]} features", expected)
    exact = {name: number for number, name in enumerate(corpus.label_names)}
    alike = {emotion(name): number for name, number in exact.items()}
    other = other.select_conversations(conversations)
    numbers, unknown = np.full(len(other.label_names) + 1, UNSCORED, np.int32), []
    for number, name in enumerate(other.label_names):
        numbers[number] = exact.get(name, alike.get(emotion(name), UNSCORED))
        if numbers[number] == UNSCORED and (other.labels == number).any():
            unknown.append(name)
    if unknown:
        found = f"labels that are not in the training corpus: {', '.join(unknown)}"
        known = f"{', '.join(corpus.label_names)} (map others, or drop them: {unknown[0]}=)"
        raise InputError(source, found, known)
    if (other.labels == UNSCORED).all() and not corpus.targets.keys() & other.targets.keys():
        raise InputError(source, "no labelled utterance", "some to score")
    # Votes are used only in training; scores are computed from labels.
    return dataclasses.replace(
        other, labels=numbers[other.labels], label_names=corpus.label_names, votes={}
    )


def join(corpus: Corpus, split: Split, other: Corpus) -> tuple[Corpus, Split]:
    """Joins the training and validation parts of one corpus with the test part of another.

    The test part of the first corpus is left out. Conversations that are in both corpora are an
    error or are reported (see `leaks.check`).

    Raises:
        InputError: As for `match`; or the same conversations are in both corpora.
    """
    scored, which = test_part(other)
    other = match(other, corpus, scored)
    trained = np.union1d(split.train, split.valid)
    selected = corpus.select_conversations(trained)
    other, notices = _with_unique_ids(selected, other)
    both = _concatenate(selected, other)
    parts = {
        "train": np.searchsorted(trained, split.train),
        "valid": np.searchsorted(trained, split.valid),
        "test": len(trained) + np.arange(len(scored)),
    }
    # File names only: the folder of a file does not belong in results.
    second, first = (PurePath(x.source).name for x in (other, corpus))
    how = f"test: {which}, of {second or 'another corpus'}; training and validation of "
    how += f"{first or 'the first'}, whose test part is not used: {split.how}"
    return both, Split(**parts, how=how, notices=(*notices, *leaks.check(both, parts)))


def _with_unique_ids(corpus: Corpus, other: Corpus) -> tuple[Corpus, tuple[str, ...]]:
    """Renames conversations of `other` whose ids are also in `corpus`; also returns notices."""
    lengths = dict(zip(corpus.conversation_ids, corpus.lengths.tolist(), strict=True))
    ids = list(other.conversation_ids)
    shared = [place for place, name in enumerate(ids) if name in lengths]
    if not shared:
        return other, ()
    notice = f"{len(shared)} of {len(ids)} test conversations have the id of one in training or "
    notice += f"validation (first {ids[shared[0]]})"
    alike = sum(lengths[ids[place]] == other.lengths[place] for place in shared)
    if 2 * alike > len(shared):  # numeric ids coincide by chance, lengths seldom do
        found = f"{notice}, {alike} of them with the same number of utterances"
        expected = "conversations that are not trained on"
        raise InputError(f"{other.source or 'test corpus'}: conversation_ids", found, expected)
    used = lengths.keys() | set(ids)
    for place in shared:
        while ids[place] in used:
            ids[place] += " (test)"
        used.add(ids[place])
    notice += ", but different lengths: treated as different conversations"
    return dataclasses.replace(other, conversation_ids=tuple(ids)), (notice,)


def _concatenate(corpus: Corpus, other: Corpus) -> Corpus:
    """Concatenates two corpora, without their splits and sequences.

    Fields of `other` that `corpus` lacks are left out, unless they are declared as `merged`.
    """
    changes: dict[str, Any] = {}
    for name, kind in fields.kinds(corpus).items():
        if not kind.axis or not (kind.is_array or kind.is_text):
            continue
        first, second = (dict(fields.entries(x, name, kind)) for x in (corpus, other))
        values = {}
        for key in {**first, **second} if kind.merged else first:
            both = [
                values_of[key] if key in values_of else kind.fill(_count(owner, kind))
                for owner, values_of in ((corpus, first), (other, second))
            ]
            values[key] = kind.concatenate(*both)
        changes[name] = values if kind.by else values.get("")
    notes = corpus.source_notes + other.source_notes
    changes |= {"split": None, "sequences": {}, "source_notes": notes}
    return dataclasses.replace(corpus, **changes)


def _count(corpus: Corpus, kind: fields.Kind) -> int:
    return len(corpus.labels if kind.axis == fields.UTTERANCES else corpus.lengths)
