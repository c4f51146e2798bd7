"""Parts of a corpus for training: split, scaled by the training part, and packed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mman_jax.data import batching, scaling, splits
from mman_jax.data.cells.utterances import Cells, Utterances
from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError
from mman_jax.types import Batch, is_scored, unscored

Shapes = Mapping[str, tuple[int, int]]
"""Minimum numbers of rows R and cells U of each part; the empty last row is not counted."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The rows of each part of a corpus, with their split, scaling and layout.

    Attributes:
        corpus: The corpus.
        split: Conversations of each part.
        scaling: Scaling that was fitted to the training conversations.
        layouts: Positions of the conversations of `cells.corpus`, by part.
        rows: Features [R + 1, U, D], masks and resets by part. The last row is empty, features are
            read on access, and labels are `UNSCORED` (see `labels`). An empty test part has only
            the empty row.
        cells: The cells in the rows.
        context: Whether a conversation of the training part has several utterances (of words, an
            utterance several words). If not, the state is reset at every cell of all parts.
    """

    corpus: Corpus
    split: splits.Split
    scaling: scaling.Scaling
    layouts: dict[str, batching.Layout]
    rows: dict[str, Batch]
    cells: Cells
    context: bool = True

    def whose(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the conversation of `corpus`, and the utterance's position in it, of each cell.

        Both are [cells] int64, in the order of the part's layout.
        """
        return self.cells.places(self.corpus, self.layouts[part])

    def labels(self, task: Any) -> dict[str, np.ndarray]:
        """Returns labels [R + 1, U, ...] of every part under a task (see `mman_jax.tasks`).

        They are classes int32, or numbers [..., C] float32 (see `Batch.labels`), `UNSCORED` or NaN
        on context and padding. If cells are words, an utterance's label is on its last word.
        Items without words or frames are excluded from training.

        Raises:
            InputError: A part has utterances, but none that the task scores.
        """
        corpus, packed = self.cells.corpus, {}
        for part, layout in self.layouts.items():
            labels = task.training_labels(corpus) if part == "train" else task.labels(corpus)
            padding, items = unscored(labels.dtype), layout.conversations
            labels = labels[corpus.utterances_of(items)]
            if part == "train":
                labels[np.repeat(self.cells.empty[items], layout.lengths)] = padding
            packed[part] = batching.place(layout, labels, padding)
            if len(items) and not is_scored(labels).any():
                raise InputError(
                    f"{self.corpus.source}, {part} part",
                    f"no utterance of {self.cells.utterances(layout)} has {task.requirement}",
                    f"some with {', '.join(task.classes)}",
                )
        return packed


def prepare(
    corpus: Corpus,
    split: splits.Split | None = None,
    shapes: Shapes | None = None,
    cells: Cells | None = None,
    scale_test: bool = False,
    rule: scaling.Rule = scaling.Rule(),  # noqa: B008 (immutable)
) -> Parts:
    """Splits a corpus, fits the scaling to its training conversations, and packs every part.

    Args:
        split: Conversations of each part; by default those of `splits.split`.
        shapes: Minimum sizes, so that several splits share compiled programs (`common_shapes`).
        cells: Cells of the corpus; by default its utterances.
        scale_test: Whether the features of the test part, if from another corpus, are scaled by
            the statistics of that part.
        rule: Operations of the scaling in addition to standardising.
    """
    split = splits.split(corpus) if split is None else split
    cells = Utterances(corpus) if cells is None else cells
    train = cells.items(corpus, split.train)
    fitted = scaling.fit(cells.corpus, train, cells.frames, rule)
    context = bool((cells.corpus.lengths[train] > 1).any())
    layouts, rows = {}, {}
    for part in SPLIT_NAMES:
        least = shapes[part] if shapes else (0, 1)
        layout = _pack(cells.corpus, cells.items(corpus, getattr(split, part)), *least)
        scale = fitted
        if scale_test and part == "test":
            scale = fitted.moved(cells.corpus, layout.conversations, cells.frames)
        layouts[part] = layout
        rows[part] = cells.rows(layout, scale, context)
    return Parts(corpus, split, fitted, layouts, rows, cells, context)


def common_shapes(corpus: Corpus, several: Iterable[splits.Split], cells: Cells) -> Shapes:
    """Returns the smallest shapes that fit each of several splits; `cells` as in `prepare`."""
    several, shapes = list(several), {}
    for part in SPLIT_NAMES:
        items = [cells.items(corpus, getattr(split, part)) for split in several]
        length = max(int(cells.corpus.lengths[chosen].max(initial=1)) for chosen in items)
        shapes[part] = (max(_pack(cells.corpus, x, 0, length).rows for x in items), length)
    return shapes


def _pack(corpus: Corpus, conversations: np.ndarray, rows: int, length: int) -> batching.Layout:
    """Packs conversations in at least `rows` rows of at least `length` cells."""
    if not len(conversations):
        empty = np.zeros(0, np.int64)
        return batching.Layout(empty, empty, empty, empty, rows, length)
    length = max(length, int(corpus.lengths[conversations].max()))
    layout = batching.pack(corpus.lengths, conversations, length)
    return dataclasses.replace(layout, rows=max(rows, layout.rows))
