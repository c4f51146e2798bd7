"""A corpus made ready to train on: split, scaled by its training conversations, laid in rows."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mman_jax.data import batching, protocols, scaling, splits
from mman_jax.data.corpus import Corpus
from mman_jax.data.frames import inside
from mman_jax.data.unaligned import Unaligned
from mman_jax.data.words import Words
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
        words: where cells are words, which lie in rows by utterance, or frames, one utterance a
            row; None: cells are utterances.
    """

    corpus: Corpus
    split: splits.Split
    scaling: scaling.Scaling
    layouts: dict[str, batching.Layout]
    rows: dict[str, Batch]
    words: Words | Unaligned | None = None

    @property
    def cells(self) -> Corpus:
        """What is laid out: the corpus, or one of what lies inside its utterances."""
        return self.corpus if self.words is None else self.words.cells

    def whose(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each cell of a part, by what lies in its layout, in order: the conversation of
        `corpus`, and the position in it of the utterance, [cells] int64 each."""
        layout, offsets = self.layouts[part], self.corpus.offsets
        items = np.repeat(layout.conversations, layout.lengths)
        if self.words is None:
            before = np.repeat(np.cumsum(layout.lengths) - layout.lengths, layout.lengths)
            return items, np.arange(len(items)) - before
        conversations = np.searchsorted(offsets, items, side="right") - 1
        return conversations, items - offsets[conversations]

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
            if self.words is not None and part == "train":
                own[np.repeat(self.words.empty[chosen], layout.lengths)] = unscored(labels.dtype)
            laid[part].reshape(-1, *labels.shape[1:])[layout.positions] = own
            if len(chosen) and not is_scored(own).any():
                count = len(own) if self.words is None else len(chosen)
                cells = "" if self.words is None else " and any cells"
                raise InputError(
                    f"{self.corpus.source}, {part} part",
                    f"no utterance of {count} has {task.asked}{cells}",
                    f"some with {', '.join(task.classes)}",
                )
        return laid


def prepare(
    corpus: Corpus,
    split: splits.Split | None = None,
    shapes: Shapes | None = None,
    words: Words | Unaligned | None = None,
    scale_test: bool = False,
) -> Parts:
    """Splits a corpus, fits the scaling on its training conversations, and lays out every part.

    Args:
        corpus: what is laid out.
        split: which conversations are in which part; None: as `splits.split` says.
        shapes: how large the parts are at least, so that several splits of a corpus share compiled
            programs (see `common_shapes`); they are filled up with padding.
        words: its words, or its frames, where these are the cells; None: utterances are.
        scale_test: whether the test part is scaled by its own statistics, where it is of another
            corpus: its features are looked at for that, its labels are not.

    Raises:
        InputError: if the corpus cannot be split.
    """
    split = splits.split(corpus) if split is None else split
    cells = corpus if words is None else words.cells
    frames = {} if words is None else words.frames
    fitted = scaling.fit(cells, _items(corpus, split.train, words), frames)
    nothing = np.full(len(cells.labels), UNSCORED, np.int32)
    layouts, rows = {}, {}
    for part in PARTS:
        least = shapes[part] if shapes else (0, 1)
        layouts[part] = _lay_out(cells, _items(corpus, getattr(split, part), words), *least)
        by = fitted
        if scale_test and part == "test":
            by = scaling.fit(cells, layouts[part].conversations, frames)
        plain = batching.rows(cells, layouts[part], nothing, by)
        rows[part] = inside(plain, cells, layouts[part], frames, by)
    return Parts(corpus, split, fitted, layouts, rows, words)


def common_shapes(
    corpus: Corpus, several: Iterable[splits.Split], words: Words | Unaligned | None = None
) -> Shapes:
    """The least shapes that hold each of several splits of a corpus; `words` as of `prepare`.

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
    laid = corpus if words is None else words.cells
    for part in PARTS:
        chosen = [_items(corpus, getattr(split, part), words) for split in several]
        cells = max(int(laid.lengths[c].max(initial=1)) for c in chosen)
        shapes[part] = (max(_lay_out(laid, c, 0, cells).rows for c in chosen), cells)
    return shapes


def _items(
    corpus: Corpus, conversations: Sequence[int], words: Words | Unaligned | None
) -> np.ndarray:
    """What lies in rows of some conversations: themselves, or their utterances."""
    if words is None:
        return np.asarray(conversations, np.int64)
    return corpus.utterances_of(conversations)


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
