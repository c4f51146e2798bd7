"""The protocols of emotion labels."""

from collections.abc import Mapping

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import EMOTIONS, emotion
from mman_jax.errors import InputError, nearest
from mman_jax.tasks.classes import Classes
from mman_jax.tasks.votes import Votes
from mman_jax.types import UNSCORED

PROTOCOLS = ("auto", "mman4", "binary4", "iemocap4", "iemocap6")

_MMAN4 = {
    "happy": ("happy", "excited"),
    "sad": ("sad", "frustrated"),
    "neutral": ("neutral",),
    "angry": ("angry",),
}
_FOUR = {"mman4": _MMAN4, "iemocap4": {**_MMAN4, "sad": ("sad",)}}


def tasks(corpus: Corpus, protocol: str, soft: bool = False) -> tuple[Classes, ...]:
    """Returns the tasks of a protocol on this corpus: four for `binary4`, otherwise one.

    Label names are matched without regard to case, and by their common short forms.

    Args:
        protocol: one of `PROTOCOLS`. `auto`: the corpus's labels; `mman4`: the paper's four classes
            (section 3.1), happy with excited and sad with frustrated; `binary4`: each of happy,
            sad, neutral and angry against the other three (its Table 3), with excited and
            frustrated as context; `iemocap4`: the classes of most work on IEMOCAP, happy with
            excited, sad, neutral and angry, with all others as context; `iemocap6`: all six.
        soft: whether to train on the votes of raters.

    Raises:
        InputError: an unknown protocol, or a corpus without the labels or the votes it needs.

    Examples:
        >>> corpus = Corpus(
        ...     features={"speech": np.zeros((6, 1), np.float32)},
        ...     labels=np.arange(6, dtype=np.int32),
        ...     label_names=EMOTIONS,
        ...     lengths=np.array([6], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("123456"),
        ... )
        >>> (task,) = tasks(corpus, "mman4")
        >>> task.classes, task.labels(corpus).tolist()
        (('happy', 'sad', 'neutral', 'angry'), [0, 1, 2, 3, 0, 1])
        >>> happy, *_ = tasks(corpus, "binary4")
        >>> happy.classes, happy.labels(corpus).tolist()
        (('not_happy', 'happy'), [1, 0, 0, 0, -1, -1])
    """
    if protocol not in PROTOCOLS:
        raise InputError("protocol", f"unknown {protocol!r}", nearest(protocol, PROTOCOLS))
    members_by_task: dict[str, dict[str, tuple[str, ...]]]
    if protocol == "auto":
        _require(corpus, protocol, ())
        members_by_task = {"auto": {}}
    elif protocol == "iemocap6":
        _require(corpus, protocol, EMOTIONS)
        members_by_task = {"iemocap6": {name: (name,) for name in EMOTIONS}}
    else:
        _require(corpus, protocol, tuple(_MMAN4))
        rest = {name: tuple(x for x in _MMAN4 if x != name) for name in _MMAN4}
        binary = {name: {f"not_{name}": rest[name], name: (name,)} for name in _MMAN4}
        members_by_task = {protocol: _FOUR[protocol]} if protocol in _FOUR else binary
    if soft and not corpus.votes:
        expected = "votes/<label>, the counts of raters; or labels=label"
        raise InputError(f"{corpus.source or 'corpus'}: votes", "none", expected)
    kind = Votes if soft else Classes
    protocol_tasks = []
    for name, members in members_by_task.items():
        names = tuple(members) or corpus.label_names
        protocol_tasks.append(kind(name, names, _label_map(corpus, members)))
    return tuple(protocol_tasks)


def _label_map(corpus: Corpus, members: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Returns the class [K] int32 of each label of a corpus; without members, each is a class."""
    if not members:
        return np.arange(len(corpus.label_names), dtype=np.int32)
    label_map = np.full(len(corpus.label_names), UNSCORED, np.int32)
    for label, label_name in enumerate(corpus.label_names):
        for index, emotions in enumerate(members.values()):
            if emotion(label_name) in emotions:
                label_map[label] = index
    return label_map


def _require(corpus: Corpus, protocol: str, emotions: tuple[str, ...]) -> None:
    place = f"{corpus.source or 'corpus'}: protocol {protocol}"
    if not corpus.label_names:
        raise InputError(place, "a corpus without labels", "label names")
    missing = sorted(set(emotions) - {emotion(name) for name in corpus.label_names})
    if missing:
        known = ", ".join(corpus.label_names[:12])
        raise InputError(place, f"no label {', '.join(missing)} among {known}", ", ".join(emotions))
