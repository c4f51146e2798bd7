"""Protocols: which labels of a corpus are scored, and as which classes."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.folds import PLACE, Fold
from mman_jax.data.label_names import EMOTIONS, emotion
from mman_jax.data.scales import Target
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, nearest
from mman_jax.types import UNSCORED

PROTOCOLS = ("auto", "mman4", "binary4", "iemocap4", "iemocap6")

TABLE_1 = {"train": (504, 839, 1324, 933, 742, 1468), "test": (144, 245, 384, 170, 299, 381)}
"""Utterances of each emotion in the paper's Table 1."""

_PARTS = {"train": "training", "valid": "validation", "test": "test"}
_CONVERSATIONS = {"train": 120, "test": 31}
_MMAN4 = {
    "happy": ("happy", "excited"),
    "sad": ("sad", "frustrated"),
    "neutral": ("neutral",),
    "angry": ("angry",),
}
_FOUR = {
    "mman4": _MMAN4,
    "iemocap4": {**_MMAN4, "sad": ("sad",)},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One classification of utterances: C classes, and the class of each of K corpus labels.

    Attributes:
        name: the protocol's name, or for `binary4` the class that is told from the rest.
        classes: the C names, in order.
        label_map: [K] int32, corpus label to class, or UNSCORED: context only.
    """

    name: str
    classes: tuple[str, ...]
    label_map: np.ndarray

    def labels(self, corpus: Corpus) -> np.ndarray:
        """[N] int32: the class of each utterance, or UNSCORED."""
        # The corpus's own -1 indexes the appended last entry.
        return np.append(self.label_map, np.int32(UNSCORED))[corpus.labels]

    @property
    def asked(self) -> str:
        """What an utterance that is scored has, for messages."""
        return f"a class of {self.name}"

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that are answered; none where classes are."""
        return ()

    def learnt(self, corpus: Corpus) -> np.ndarray:
        """What training learns from: `labels`, or more than these tell."""
        return self.labels(corpus)

    def described(self) -> dict[str, Any]:
        """What is answered, for `results.json`: the names of the classes, or the targets."""
        return {"classes": list(self.classes)}

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """How many utterances have each class, or each target, by its name.

        Args:
            labels: what `learnt` gave, of any leading shape; of votes, what most raters chose.
        """
        if labels.dtype.kind == "f":
            is_scored = ~np.isnan(labels).all(-1)
            labels = np.where(is_scored, np.nan_to_num(labels).argmax(-1), UNSCORED)
        counts = np.bincount(labels[labels != UNSCORED], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def check_split(self, corpus: Corpus, split: Split) -> list[str]:
        """Looks for parts of which nothing can be learnt, or which are likely a mistake.

        Returns:
            Sentences for people.

        Raises:
            InputError: training has one class alone, or a target of which nothing can be learnt.
        """
        labels, sentences = self.labels(corpus), []
        found = {
            part: set(labels[corpus.is_of(getattr(split, part))].tolist()) - {UNSCORED}
            for part in _PARTS
        }
        if len(found["train"]) == 1:
            name = self.classes[next(iter(found["train"]))]
            place = f"{corpus.source or 'corpus'}, task {self.name}"
            only = f"every labelled training utterance is {name}"
            raise InputError(place, only, "at least two classes to tell apart")
        for part in ("valid", "test"):
            unseen = [self.classes[c] for c in sorted(found[part] - found["train"])]
            if unseen and found["train"]:
                names = f"class{'es' * (len(unseen) > 1)} {', '.join(unseen)}"
                sentences.append(f"task {self.name}: {_PARTS[part]} has {names}, training does not")
            if len(found[part]) == 1:
                name = self.classes[next(iter(found[part]))]
                what = f"every labelled utterance in {_PARTS[part]} is {name}"
                sentences.append(f"task {self.name}: {what}: its scores say little")
        return sentences

    def check_fold(self, corpus: Corpus, split: Split, fold: str, setting: str) -> list[str]:
        """Looks for what a fold lacks; scores are pooled, so that a class may miss in a test part.

        Args:
            corpus: N utterances.
            split: the parts of the fold.
            fold: its name, for messages.
            setting: that asks for folds, for messages.

        Returns:
            Sentences for people.

        Raises:
            InputError: a part without a scored utterance, training without a class that the corpus
                has, or a target of which nothing can be learnt.
        """
        labels, place = self.labels(corpus), f"{setting}: fold {fold}"
        scored = set(labels.tolist()) - {UNSCORED}
        lacking = {}
        for part, called in _PARTS.items():
            chosen = getattr(split, part)
            found = set(labels[corpus.is_of(chosen)].tolist()) - {UNSCORED}
            lacking[part] = ", ".join(self.classes[c] for c in sorted(scored - found))
            if len(chosen) and not found:
                what = f"no utterance in the {called} part has a class of {self.name}"
                raise InputError(place, what, f"some labelled {', '.join(self.classes)}")
        if lacking["train"]:
            what = f"no utterance in training is {lacking['train']} (task {self.name})"
            raise InputError(place, what, "every class of the corpus in training")
        if lacking["test"] and len(split.test):
            what = f"no utterance in the test part is {lacking['test']}"
            return [f"fold {fold}, task {self.name}: {what}"]
        return []


def tasks(corpus: Corpus, protocol: str) -> tuple[Task, ...]:
    """The tasks of a protocol on this corpus: four for `binary4`, else one.

    Label names are matched without regard to case, and by their common short forms.

    Args:
        corpus: whose K labels are mapped.
        protocol: of `PROTOCOLS`. `auto` takes the corpus's own labels; `mman4` the paper's four
            classes (section 3.1), happy with excited and sad with frustrated; `binary4` each of
            happy, sad, neutral and angry against the other three (its Table 3), where excited and
            frustrated are context; `iemocap4` what most work on IEMOCAP scores: happy with excited,
            sad, neutral and angry, all others context; `iemocap6` all six.

    Raises:
        InputError: an unknown protocol, or a corpus without the labels that it needs.

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
    if protocol == "auto":
        _require(corpus, protocol, ())
        count = len(corpus.label_names)
        return (Task("auto", corpus.label_names, np.arange(count, dtype=np.int32)),)
    if protocol == "iemocap6":
        _require(corpus, protocol, EMOTIONS)
        return (_task(corpus, "iemocap6", EMOTIONS, [(name,) for name in EMOTIONS]),)
    _require(corpus, protocol, tuple(_MMAN4))
    if protocol in _FOUR:
        return (_task(corpus, protocol, tuple(_FOUR[protocol]), list(_FOUR[protocol].values())),)
    return tuple(
        _task(
            corpus,
            name,
            (f"not_{name}", name),
            [tuple(other for other in _MMAN4 if other != name), (name,)],
        )
        for name in _MMAN4
    )


def is_iemocap(corpus: Corpus) -> bool:
    """Whether the corpus has IEMOCAP's six labels."""
    return sorted(emotion(name) for name in corpus.label_names) == sorted(EMOTIONS)


def check_table_1(corpus: Corpus) -> str | None:
    """What to say loudly where IEMOCAP's standard corpus does not have the paper's counts.

    Returns None where the counts agree, and for any other corpus: standard is the one with
    the six labels, ids that start with Ses0, and 120 training and 31 test conversations.
    """
    if not is_iemocap(corpus) or corpus.split is None:
        return None
    if not all(name.startswith("Ses0") for name in corpus.conversation_ids):
        return None
    # A validation part is cut from the paper's training set.
    parts = np.array([{"valid": "train"}.get(part, part) for part in corpus.split])
    if any((parts == part).sum() != count for part, count in _CONVERSATIONS.items()):
        return None
    part_of_utterance = np.repeat(parts, corpus.lengths)
    names, wrong = [emotion(name) for name in corpus.label_names], []
    for part, counts in TABLE_1.items():
        labels = corpus.labels[part_of_utterance == part]
        for name, expected in zip(EMOTIONS, counts, strict=True):
            found = int((labels == names.index(name)).sum())
            if found != expected:
                wrong.append(f"{part} {name} {found}, not {expected}")
    if not wrong:
        return None
    place = corpus.source or "corpus"
    return f"{place}: the utterances differ from the paper's Table 1: " + "; ".join(wrong)


def _task(
    corpus: Corpus, name: str, classes: tuple[str, ...], members: Sequence[tuple[str, ...]]
) -> Task:
    label_map = np.full(len(corpus.label_names), UNSCORED, np.int32)
    for label, label_name in enumerate(corpus.label_names):
        for index, emotions in enumerate(members):
            if emotion(label_name) in emotions:
                label_map[label] = index
    return Task(name, classes, label_map)


def check_folds(
    corpus: Corpus, folds: Iterable[Fold], tasks: Sequence[Task], setting: str = PLACE
) -> tuple[str, ...]:
    """Checks that folds can be trained and scored, see `Task.check_fold`.

    Returns:
        Sentences for people: the classes that a test part lacks.

    Raises:
        InputError: As `Task.check_fold`.
    """
    return tuple(
        notice
        for task in tasks
        for fold in folds
        for notice in task.check_fold(corpus, fold.split, fold.name, setting)
    )


def _require(corpus: Corpus, protocol: str, emotions: tuple[str, ...]) -> None:
    place = f"{corpus.source or 'corpus'}: protocol {protocol}"
    if not corpus.label_names:
        raise InputError(place, "a corpus without labels", "label names")
    missing = sorted(set(emotions) - {emotion(name) for name in corpus.label_names})
    if missing:
        shown = ", ".join(corpus.label_names[:12])
        raise InputError(place, f"no label {', '.join(missing)} among {shown}", ", ".join(emotions))
