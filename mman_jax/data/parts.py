"""A corpus made ready to train on: split, scaled by its training conversations, laid in rows."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mman_jax.data import batching, protocols, scaling, splits
from mman_jax.data.cells.utterances import Cells, Utterances
from mman_jax.data.corpus import Corpus
from mman_jax.data.frames import inside
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED, Batch, is_scored, unscored

PARTS = ("train", "valid", "test")

Shapes = Mapping[str, tuple[int, int]]
"""How many rows R and cells U a part has at least, by part; the empty last row is not counted."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The rows of each part of a corpus, and how they came about.

    Attributes:
        corpus: what they were made of.
        split: which of its conversations are in which part.
        scaling: fitted on the training conversations.
        layouts: where each conversation of `cells` lies, by part.
        rows: features [R + 1, U, D], masks and resets by part; the last row is empty, features
            are read when asked for, and no utterance has a class yet (see `labels`). An empty
            test part is the empty row alone.
        laid: what the cells are.
    """

    corpus: Corpus
    split: splits.Split
    scaling: scaling.Scaling
    layouts: dict[str, batching.Layout]
    rows: dict[str, Batch]
    laid: Cells

    @property
    def cells(self) -> Corpus:
        """What is laid out: the corpus, or one of what lies inside its utterances."""
        return self.laid.cells

    def whose(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each cell of a part, by what lies in its layout, in order: the conversation of
        `corpus`, and the position in it of the utterance, [cells] int64 each."""
        return self.laid.places(self.corpus, self.layouts[part])

    def labels(self, task: protocols.Task) -> dict[str, np.ndarray]:
        """Labels [R + 1, U, ...] of every part under a task, `UNSCORED` or NaN on context and
        padding: classes int32, or numbers [..., C] float32 (see `Batch.labels`).

        Those of training are what is learnt from, see `Task.learnt`.

        Where cells are words an utterance's class is on its last; those without words, or frames,
        are not trained on.

        Raises:
            InputError: if a part has utterances, but none that the task scores.
        """
        cells, laid = self.cells, {}
        for part, layout in self.layouts.items():
            labels = task.learnt(cells) if part == "train" else task.labels(cells)
            shape = (*self.rows[part].mask.shape, *labels.shape[1:])
            laid[part] = np.full(shape, unscored(labels.dtype), labels.dtype)
            chosen = layout.conversations
            own = labels[cells.utterances_of(chosen)]
            if part == "train":
                own[np.repeat(self.laid.empty[chosen], layout.lengths)] = unscored(labels.dtype)
            laid[part].reshape(-1, *labels.shape[1:])[layout.positions] = own
            if len(chosen) and not is_scored(own).any():
                raise InputError(
                    f"{self.corpus.source}, {part} part",
                    f"no utterance of {self.laid.utterances(layout)} has {task.asked}",
                    f"some with {', '.join(task.classes)}",
                )
        return laid


def prepare(
    corpus: Corpus,
    split: splits.Split | None = None,
    shapes: Shapes | None = None,
    laid: Cells | None = None,
    scale_test: bool = False,
) -> Parts:
    """Splits a corpus, fits the scaling on its training conversations, and lays out every part.

    Args:
        corpus: what is laid out.
        split: which conversations are in which part; None: as `splits.split` says.
        shapes: how large the parts are at least, so that several splits of a corpus share compiled
            programs (see `common_shapes`); they are filled up with padding.
        laid: what the cells are; None: the utterances.
        scale_test: whether the test part is scaled by its own statistics, where it is of another
            corpus: its features are looked at for that, its labels are not.

    Raises:
        InputError: if the corpus cannot be split.
    """
    split = splits.split(corpus) if split is None else split
    laid = Utterances(corpus) if laid is None else laid
    cells, frames = laid.cells, laid.frames
    fitted = scaling.fit(cells, laid.items(corpus, split.train), frames)
    nothing = np.full(len(cells.labels), UNSCORED, np.int32)
    layouts, rows = {}, {}
    for part in PARTS:
        least = shapes[part] if shapes else (0, 1)
        layouts[part] = _lay_out(cells, laid.items(corpus, getattr(split, part)), *least)
        by = fitted
        if scale_test and part == "test":
            by = scaling.fit(cells, layouts[part].conversations, frames)
        plain = batching.rows(cells, layouts[part], nothing, by)
        rows[part] = inside(plain, cells, layouts[part], frames, by)
    return Parts(corpus, split, fitted, layouts, rows, laid)


def common_shapes(
    corpus: Corpus, several: Iterable[splits.Split], laid: Cells | None = None
) -> Shapes:
    """The least shapes that hold each of several splits of a corpus; `laid` as of `prepare`.

    Examples:
        Conversations of 5, 2 and 3 utterances: the first is as long as the others together.

        >>> corpus = Corpus(
        ...     features={"speech": np.eye(10, dtype=np.float32)},
        ...     labels=np.zeros(10, np.int32),
        ...     label_names=("calm",),
        ...     lengths=np.array([5, 2, 3], np.int32),
        ...     conversation_ids=("a", "b", "c"),
        ...     utterance_ids=tuple("1234512123"),
        ... )
        >>> parts = [np.array([0]), np.array([1]), np.array([2])]
        >>> cycle = [splits.Split(*parts[i:], *parts[:i], how="by hand") for i in range(3)]
        >>> common_shapes(corpus, cycle)
        {'train': (1, 5), 'valid': (1, 5), 'test': (1, 5)}
    """
    several, shapes = list(several), {}
    laid = Utterances(corpus) if laid is None else laid
    for part in PARTS:
        chosen = [laid.items(corpus, getattr(split, part)) for split in several]
        cells = max(int(laid.cells.lengths[c].max(initial=1)) for c in chosen)
        shapes[part] = (max(_lay_out(laid.cells, c, 0, cells).rows for c in chosen), cells)
    return shapes


def _lay_out(
    corpus: Corpus, conversations: Sequence[int], rows: int, cells: int
) -> batching.Layout:
    """Conversations in at least so many rows of at least so many cells."""
    if not len(conversations):
        none = np.zeros(0, np.int64)
        return batching.Layout(none, none, none, none, rows, cells)
    cells = max(cells, int(corpus.lengths[conversations].max()))
    layout = batching.pack(corpus.lengths, conversations, cells)
    return dataclasses.replace(layout, rows=max(rows, layout.rows))
