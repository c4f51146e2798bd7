"""Tasks of a corpus's targets: numbers to answer, or classes that are cut from one of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.data import scales
from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import Task
from mman_jax.data.scales import Target
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, nearest

PLACE = "data.target"
"""The setting that names targets, for messages."""

_LEAST = 1e-6
"""Of the deviation in training, in deviations of the whole corpus: less is none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Regression(Task):
    """Numbers to answer; `classes` are the names of the targets, in order, and C counts them.

    Attributes:
        targets: the C of them.
    """

    targets: tuple[Target, ...] = ()

    def labels(self, corpus: Corpus) -> np.ndarray:
        """[N, C] float32: the targets of each utterance, NaN where it has none."""
        return np.stack([corpus.targets[name] for name in self.classes], axis=-1)

    def described(self) -> dict[str, Any]:
        """See `Task`."""
        return {"targets": [dataclasses.asdict(target) for target in self.targets]}

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """See `Task`."""
        counts = (~np.isnan(labels)).reshape(-1, len(self.classes)).sum(0)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def check_split(self, corpus: Corpus, split: Split) -> list[str]:
        """See `Task`."""
        check(corpus, split, self)
        return []

    def check_fold(self, corpus: Corpus, split: Split, fold: str, setting: str) -> list[str]:
        """See `Task`."""
        check(corpus, split, self, fold)
        return []

    @property
    def asked(self) -> str:
        """See `Task`."""
        return f"a number (data.target={','.join(self.classes)})"


@dataclasses.dataclass(frozen=True, eq=False)
class Binned(Task):
    """Classes of a target.

    Attributes:
        target: that they are cut from.
    """

    target: Target | None = None

    def labels(self, corpus: Corpus) -> np.ndarray:
        """[N] int32: the class of each utterance, or `UNSCORED`; see `scales.classes`."""
        values = corpus.targets[self.target.name]
        return scales.classes(values, self.target.scale, len(self.classes))


def task(corpus: Corpus, names: Sequence[str], protocol: str, classes: int = 0) -> Task:
    """The task of some targets.

    Args:
        corpus: that has them.
        names: of one target, or of several, to be answered together.
        protocol: of labels; a target has none of its own, so that it must be `auto`.
        classes: 0: the numbers themselves; else how many classes to cut from the one target.

    Raises:
        InputError: a target that the corpus lacks, or that says nothing; another protocol; or
            classes that cannot be told apart on its scale.

    Examples:
        >>> corpus = Corpus(
        ...     features={"speech": np.eye(3, dtype=np.float32)},
        ...     labels=np.full(3, -1, np.int32),
        ...     label_names=(),
        ...     lengths=np.array([3], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("123"),
        ...     targets={"sentiment": np.array([-2.4, 0, 1], np.float32)},
        ... )
        >>> task(corpus, ["sentiment"], "auto", classes=3).labels(corpus).tolist()
        [0, 1, 2]
    """
    if protocol != "auto":
        found = f"{protocol!r}, which maps labels, with a target ({', '.join(names)})"
        raise InputError("data.protocol", found, "auto, or no target")
    place = f"{corpus.source or 'corpus'}: {PLACE}"
    for position, name in enumerate(names):
        if name not in corpus.targets:
            expected = nearest(name, corpus.targets) if corpus.targets else "targets in the corpus"
            raise InputError(place, f"unknown {name!r}", expected)
        if name in names[:position]:
            raise InputError(place, f"{name!r} twice", "each target once")
        if np.isnan(corpus.targets[name]).all():
            raise InputError(place, f"{name!r}, NaN of every utterance", "some numbers")
    targets = tuple(scales.target(name, corpus.targets[name]) for name in names)
    nothing = np.zeros(0, np.int32)
    if not classes:
        return Regression(protocol, tuple(names), nothing, targets)
    if len(names) > 1:
        found = f"{classes} of {len(names)} targets ({', '.join(names)})"
        raise InputError("data.classes", found, "classes of one target")
    (target,) = targets
    known = scales.counts(target.scale)
    if classes not in known:
        values = corpus.targets[target.name]
        range_ = f"values from {np.nanmin(values):g} to {np.nanmax(values):g}"
        expected = f"{', '.join(map(str, known))}, or 0: the numbers" if known else (
            "0: the numbers; classes are told of values on both sides of 0, from -3 to 3"
        )  # fmt: skip
        raise InputError("data.classes", f"{classes} of {target.name!r}, {range_}", expected)
    return Binned(protocol, scales.class_names(target.scale, classes), nothing, target)


def check(corpus: Corpus, split: Split, task: Regression, fold: str = "") -> None:
    """Refuses targets of which nothing can be learnt.

    Args:
        corpus: that has them.
        split: its parts.
        task: of the targets.
        fold: whose the split is, for messages.

    Raises:
        InputError: one that no utterance of a part has, or that is the same in all of training.
    """
    inside = corpus.is_of(split.train)
    for target in task.targets:
        values = corpus.targets[target.name][inside]
        values = values[~np.isnan(values)].astype(np.float64)
        place = f"{corpus.source or 'corpus'}: {PLACE}" + (f", fold {fold}" if fold else "")
        if not len(values):
            raise InputError(place, f"{target.name!r}, of no training utterance", "some numbers")
        if values.std() <= _LEAST * target.spread:
            found = f"{target.name!r}, {values[0]:g} of every training utterance"
            raise InputError(place, found, "numbers that differ")
        for part in ("valid", "test"):
            chosen = corpus.utterances_of(getattr(split, part))
            if len(chosen) and np.isnan(corpus.targets[target.name][chosen]).all():
                raise InputError(place, f"{target.name!r}, of no {part} utterance", "some numbers")
