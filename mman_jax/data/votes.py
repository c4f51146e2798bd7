"""Soft labels: what several raters said of an utterance, as shares of the classes."""

import dataclasses

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import Task
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED


@dataclasses.dataclass(frozen=True, eq=False)
class Voted(Task):
    """A task that is learnt from the corpus's `votes`, and scored on their majority."""

    def labels(self, corpus: Corpus) -> np.ndarray:
        """[N] int32: the class that most raters chose; of equals, and without votes, the label's.

        What has no label under the task is not scored, whatever was voted.
        """
        own, counts = super().labels(corpus), _by_class(self, corpus)
        there = own != UNSCORED
        of_own = np.take_along_axis(counts, np.where(there, own, 0)[:, None], axis=1)[:, 0]
        keeps = of_own >= counts.max(1)
        return np.where(there & ~keeps, counts.argmax(1), own).astype(np.int32)

    def learnt(self, corpus: Corpus) -> np.ndarray:
        """[N, C] float32: the share of raters that chose each class, NaN: context only.

        Without a vote for a class, the label's has all of it. An utterance that the corpus leaves
        without a label, for its raters did not agree, is learnt from; one whose label is no class
        of the task is not.
        """
        own, counts = super().labels(corpus), _by_class(self, corpus)
        total = counts.sum(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            shares = counts / total
        alone = (total[:, 0] == 0) & (own != UNSCORED)
        shares[alone] = np.eye(len(self.classes))[own[alone]]
        shares[(own == UNSCORED) & (corpus.labels != UNSCORED)] = np.nan
        return shares.astype(np.float32)


def voted(corpus: Corpus, task: Task) -> Voted:
    """The same task, learnt from votes.

    Raises:
        InputError: the corpus has none.

    Examples:
        Three raters of the first utterance, none of the second; of the third they did not agree.

        >>> corpus = Corpus(
        ...     features={"speech": np.eye(3, dtype=np.float32)},
        ...     labels=np.array([0, 1, -1], np.int32),
        ...     label_names=("calm", "angry"),
        ...     lengths=np.array([3], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("123"),
        ...     votes={"calm": np.array([3, 0, 1], np.int32),
        ...            "angry": np.array([1, 0, 1], np.int32)},
        ... )
        >>> task = voted(corpus, Task("auto", ("calm", "angry"), np.array([0, 1], np.int32)))
        >>> task.learnt(corpus).tolist(), task.labels(corpus).tolist()
        ([[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]], [0, 1, -1])
    """
    if not corpus.votes:
        expected = "votes/<label>, the counts of raters; or labels=label"
        raise InputError(f"{corpus.source or 'corpus'}: votes", "none", expected)
    return Voted(task.name, task.classes, task.label_map)


def _by_class(task: Task, corpus: Corpus) -> np.ndarray:
    """Votes [N, C] for the classes of a task."""
    counts = np.zeros((len(corpus.labels), len(task.classes)))
    for label, name in enumerate(corpus.label_names):
        if name in corpus.votes and task.label_map[label] != UNSCORED:
            counts[:, task.label_map[label]] += corpus.votes[name]
    return counts
