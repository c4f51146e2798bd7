"""Labels under other names, so that several corpora have the same ones."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.types import UNSCORED

_PLACE = "data.label_map"


def read(text: str) -> dict[str, str]:
    """What each label becomes, from text such as `joy=happy,contempt=`; nothing: context only.

    Raises:
        InputError: an entry without an equals sign or a name before it, or a name twice.

    Examples:
        >>> read("joy=happy, contempt=")
        {'joy': 'happy', 'contempt': ''}
    """
    names: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, equals, becomes = (part.strip() for part in entry.partition("="))
        if not equals or not name:
            raise InputError(_PLACE, f"{entry!r:.60}", "LABEL=CLASS, or LABEL= for context only")
        if name.lower() in map(str.lower, names):
            raise InputError(_PLACE, f"{name!r:.60} twice", "each label once")
        names[name] = becomes
    return names


def check(names: Mapping[str, str], corpora: Sequence[Corpus]) -> None:
    """Refuses a map with a label that none of some corpora has.

    Raises:
        InputError: naming it.
    """
    known = [name for corpus in corpora for name in corpus.label_names]
    lowered = {name.lower() for name in known}
    for name in names:
        if name.lower() not in lowered:
            raise InputError(_PLACE, f"no label {name!r:.60}", nearest(name, dict.fromkeys(known)))


def relabel(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """The corpus with some labels under other names, matched without regard to case.

    Labels that get one name are one from then on; what is mapped to nothing is context only. The
    order is that in which the new names come up among the old labels; their votes are added up.
    Labels that the corpus does
    not have are passed over: `check` refuses them.

    Args:
        corpus: K labels.
        names: what each label becomes, see `read`.

    Raises:
        InputError: no label would be left.

    Examples:
        >>> corpus = Corpus(
        ...     features={"text": np.ones((4, 1), "float32")},
        ...     labels=np.array([0, 1, 2, 3], np.int32),
        ...     label_names=("fear", "joy", "anger", "surprise"),
        ...     lengths=np.array([4], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("1234"),
        ... )
        >>> to = {"fear": "negative", "anger": "negative", "joy": "positive", "surprise": ""}
        >>> found = relabel(corpus, to)
        >>> found.label_names, found.labels.tolist()
        (('negative', 'positive'), [0, 1, 0, -1])
    """
    lowered = {name.lower(): becomes for name, becomes in names.items()}
    become = [lowered.get(name.lower(), name) for name in corpus.label_names]
    if become == list(corpus.label_names):
        return corpus
    kept = tuple(dict.fromkeys(filter(None, become)))
    if not kept:
        raise InputError(f"{corpus.source or 'corpus'}: {_PLACE}", "every label becomes nothing",
                         "a class for some")  # fmt: skip
    numbers = [kept.index(name) if name else UNSCORED for name in become]
    labels = np.array([*numbers, UNSCORED], np.int32)[corpus.labels]  # a -1 is the last one
    votes: dict[str, np.ndarray] = {}
    # What is to be context only is not learnt from by the votes that are left, either.
    gone = (corpus.labels != UNSCORED) & (labels == UNSCORED)
    for name, becomes in zip(corpus.label_names, become, strict=True):
        if name in corpus.votes and becomes:
            own = np.where(gone, 0, corpus.votes[name]).astype(np.int64)
            votes[becomes] = votes.get(becomes, 0) + own
    most = np.iinfo(np.int32).max  # a sum may be above it
    votes = {name: np.minimum(of, most).astype(np.int32) for name, of in votes.items()}
    return dataclasses.replace(corpus, labels=labels, label_names=kept, votes=votes)
