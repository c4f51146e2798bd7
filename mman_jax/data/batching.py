"""Batching: whole conversations laid side by side in rows of equal length."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED, Batch


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Which conversation lies where: rows of whole conversations, then padding.

    Attributes:
        row: [conversations in it] int64, the row of each.
        start: [conversations in it] int64, the position of its first utterance in the row.
        lengths: [conversations in it] int64, its utterances.
        conversations: [conversations in it] int64, indices into the corpus.
        rows: R, how many rows.
        length: U, utterances of a row, padding included.
    """

    row: np.ndarray
    start: np.ndarray
    lengths: np.ndarray
    conversations: np.ndarray
    rows: int
    length: int

    @property
    def positions(self) -> np.ndarray:
        """[utterances in it] int64 positions in the R * U cells: by conversation, in order."""
        first = self.row * self.length + self.start
        before = np.cumsum(self.lengths) - self.lengths
        within = np.arange(self.lengths.sum()) - np.repeat(before, self.lengths)
        return np.repeat(first, self.lengths) + within


def pack(lengths: np.ndarray, conversations: Sequence[int], length: int | None = None) -> Layout:
    """Lay conversations into few rows: longest first, each into the first row with room.

    Args:
        lengths: [conversations of the corpus] integers.
        conversations: indices of those to lay out; the layout keeps their order.
        length: U; by default that of the longest of them.

    Raises:
        InputError: no conversations, or one that is longer than `length`.

    Examples:
        Conversations of 5, 2 and 3 utterances: the first fills a row, the others share one, the
        longer of them first.

        >>> layout = pack(np.array([5, 2, 3]), [0, 1, 2])
        >>> layout.rows, layout.length
        (2, 5)
        >>> layout.row.tolist(), layout.start.tolist()
        ([0, 1, 1], [0, 3, 0])
        >>> layout.positions.tolist()
        [0, 1, 2, 3, 4, 8, 9, 5, 6, 7]
    """
    conversations = np.asarray(conversations, np.int64)
    if not len(conversations):
        raise InputError("batching", "no conversations (an empty split)", "at least one")
    wanted = np.asarray(lengths)[conversations].astype(np.int64)
    longest = int(wanted.max())
    length = longest if length is None else int(length)
    if longest > length:
        index = int(conversations[int(np.argmax(wanted))])
        found = f"conversation number {index} has {longest} utterances"
        raise InputError("batching", found, f"at most the row length, {length}")
    row = np.zeros(len(wanted), np.int64)
    start = np.zeros(len(wanted), np.int64)
    used = np.full(len(wanted), 0, np.int64)
    rows = 0
    for item in np.argsort(-wanted, kind="stable"):
        fits = used[:rows] + wanted[item] <= length
        target = int(np.argmax(fits)) if fits.any() else rows
        rows = max(rows, target + 1)
        row[item], start[item] = target, used[target]
        used[target] += wanted[item]
    return Layout(row, start, wanted, conversations, rows, length)


def items_by_row(layout: Layout) -> list[np.ndarray]:
    """For each row, the empty last one included, which of the layout's items lie in it."""
    by_row = np.argsort(layout.row, kind="stable")
    bounds = np.searchsorted(layout.row[by_row], np.arange(layout.rows + 2))
    return [by_row[a:b] for a, b in itertools.pairwise(bounds)]


class LaidFeatures:
    """One modality's features [R + 1, U, D] in a layout, the last row empty; float32.

    Rows are read from the corpus, which may be memory-mapped, and scaled when they are asked for:
    `laid[rows]` with an array or a slice of row numbers. `numpy.asarray` asks for all of them.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, corpus: Corpus, layout: Layout, modality: str, scaling: Scaling | None):
        """Reads nothing yet.

        Args:
            corpus: where the features are.
            layout: which conversations, and where.
            modality: whose features.
            scaling: how to scale them, or None: as they are.
        """
        self._values, self._modality = corpus.features[modality], modality
        self._present = corpus.present.get(modality)
        self._layout, self._scaling = layout, scaling
        self._offsets = corpus.offsets
        self.shape = (layout.rows + 1, layout.length, corpus.dims[modality])
        self._items = items_by_row(layout)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """The features [B, U, D] of some rows."""
        wanted = np.arange(self.shape[0])[index]
        laid = np.zeros((len(wanted), *self.shape[1:]), np.float32)
        for target, row in enumerate(wanted):
            for item in self._items[row]:
                start = self._layout.start[item]
                laid[target, start : start + self._layout.lengths[item]] = self._read(item)
        return laid

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, item: int) -> np.ndarray:
        conversation = self._layout.conversations[item]
        values = self._values[self._offsets[conversation] : self._offsets[conversation + 1]]
        if self._scaling is not None:
            values = self._scaling.apply({self._modality: values})[self._modality]
        if self._present is None:
            return values
        there = self._present[self._offsets[conversation] : self._offsets[conversation + 1]]
        return np.where(there[:, None], values, np.float32(0))


def rows(corpus: Corpus, layout: Layout, labels: np.ndarray, scaling: Scaling | None) -> Batch:
    """Fill a layout, [R + 1, U, ...]; padding has features 0, label UNSCORED, mask False.

    The last row is padding alone. Features are read when asked for (`LaidFeatures`).

    Args:
        corpus: where the features are.
        layout: which conversations, and where.
        labels: [N] int32 classes of the whole corpus, as a task gives them.
        scaling: how to scale the features, or None: as they are.
    """
    shape = (layout.rows + 1, layout.length)
    classes = np.full(shape, UNSCORED, np.int32)
    mask = np.zeros(shape, bool)
    reset = np.zeros(shape, bool)
    order = corpus.utterances_of(layout.conversations)
    classes.reshape(-1)[layout.positions] = labels[order]
    mask.reshape(-1)[layout.positions] = True
    reset[layout.row, layout.start] = True
    # Padding is an item of its own: what runs backwards must not carry it into a conversation.
    used = mask.sum(1)
    padded = np.flatnonzero(used < layout.length)
    reset[padded, used[padded]] = True
    features = {name: LaidFeatures(corpus, layout, name, scaling) for name in corpus.features}
    present = {}
    for name, there in corpus.present.items():
        present[name] = np.zeros(shape, bool)
        present[name].reshape(-1)[layout.positions] = there[order]
    return Batch(features, classes, mask, reset, present)


def gather(layout: Layout, values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Take [R, U, ...] apart: [utterances in the layout, ...], by conversation, in order.

    Args:
        layout: how the rows were laid out.
        values: the rows, at least R of them: rows that only pad are left out.
        axis: where R is, for values with leading axes such as seeds; U is the axis after.

    Raises:
        ValueError: the values do not have the layout's axes.
    """
    values = np.asarray(values)
    lead, cells, rest = values.shape[:axis], values.shape[axis : axis + 2], values.shape[axis + 2 :]
    if len(cells) != 2 or cells[0] < layout.rows or cells[1] != layout.length:
        raise ValueError(f"axes {cells} for a layout of {layout.rows} rows of {layout.length}")
    return values.reshape(*lead, cells[0] * cells[1], *rest).take(layout.positions, axis=axis)
