"""Another corpus as the test part: what must match, what of it is scored, both as one corpus."""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from mman_jax.data import fields, leaks, protocols
from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED


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
    """What is scored of another corpus, with the modalities and labels of the trained one.

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
    other = other.select_conversations(conversations)
    labels = other.labels
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
    # Scored is the label; raters' votes are learnt from alone.
    return dataclasses.replace(
        other, labels=numbers[other.labels], label_names=corpus.label_names, votes={}
    )


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
    mine = corpus.select_conversations(own)
    theirs, notices = _told_apart(mine, other)
    both = _concatenated(mine, theirs)
    parts = {
        "train": np.searchsorted(own, split.train),
        "valid": np.searchsorted(own, split.valid),
        "test": len(own) + np.arange(len(scored)),
    }
    # By their names: where files lie is no part of what was done.
    tested, trained = (PurePath(one.source).name for one in (other, corpus))
    how = f"test: {which}, of {tested or 'another corpus'}; training and validation of "
    how += f"{trained or 'the first'}, whose own test part is not used: {split.how}"
    return both, Split(**parts, how=how, notices=(*notices, *leaks.check(both, parts)))


def _told_apart(corpus: Corpus, other: Corpus) -> tuple[Corpus, tuple[str, ...]]:
    """The other corpus, its conversations under ids that the first does not have; what to tell."""
    lengths = dict(zip(corpus.conversation_ids, corpus.lengths.tolist(), strict=True))
    ids = list(other.conversation_ids)
    shared = [place for place, name in enumerate(ids) if name in lengths]
    if not shared:
        return other, ()
    told = f"{len(shared)} of {len(ids)} test conversations have the id of one in training or "
    told += f"validation (first {ids[shared[0]]})"
    alike = sum(lengths[ids[place]] == other.lengths[place] for place in shared)
    if 2 * alike > len(shared):  # numbers as ids meet by chance, numbers of utterances do not
        found = f"{told}, {alike} of them with as many utterances"
        expected = "conversations that are not trained on"
        raise InputError(f"{other.source or 'test corpus'}: conversation_ids", found, expected)
    taken = lengths.keys() | set(ids)
    for place in shared:
        while ids[place] in taken:
            ids[place] += " (test)"
        taken.add(ids[place])
    notice = f"{told}, of other lengths: taken for others"
    return dataclasses.replace(other, conversation_ids=tuple(ids)), (notice,)


def _concatenated(one: Corpus, other: Corpus) -> Corpus:
    """The utterances of both under the sentences and the source of the first, without a split."""

    found: dict[str, Any] = {}
    for name, kind in fields.kinds(one).items():
        if kind.axis and name != "sequences":
            mine, theirs = (dict(fields.entries(x, name, kind)) for x in (one, other))
            # What is learnt from is the first one's; the second may lack more, and tell more apart.
            keys = {**mine, **theirs} if kind.by and name in ("present", "groups") else mine
            made = {
                key: _joined(
                    kind,
                    mine[key] if key in mine else _nothing(kind, one),
                    theirs[key] if key in theirs else _nothing(kind, other),
                )
                for key in keys
            }
            found[name] = made if kind.by else made.get("")
    notes = one.source_notes + other.source_notes
    found |= {"split": None, "sequences": {}, "source_notes": notes}
    return dataclasses.replace(one, **found)


def _nothing(kind: fields.Kind, corpus: Corpus) -> Any:
    """Entries of a corpus that does not have this field."""
    count = len(corpus.labels if kind.axis == fields.UTTERANCES else corpus.lengths)
    return (kind.unknown,) * count if kind.is_text else np.full(count, kind.unknown, kind.dtype)


def _joined(kind: fields.Kind, one: Any, other: Any) -> Any:
    return one + other if kind.is_text else np.concatenate([one, other])
