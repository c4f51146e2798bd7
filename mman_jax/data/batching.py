"""Batching: whole conversations laid side by side in rows of equal length."""

import dataclasses
from collections.abc import Sequence

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


def rows(corpus: Corpus, layout: Layout, labels: np.ndarray, scaling: Scaling | None) -> Batch:
    """Fill a layout, [R, U, ...]; padding has features 0, label UNSCORED, mask False.

    Args:
        corpus: where the features are.
        layout: which conversations, and where.
        labels: [N] int32 classes of the whole corpus, as a task gives them.
        scaling: how to scale the features, or None: as they are.
    """
    shape = (layout.rows, layout.length)
    features = {name: np.zeros((*shape, dim), np.float32) for name, dim in corpus.dims.items()}
    classes = np.full(shape, UNSCORED, np.int32)
    mask = np.zeros(shape, bool)
    reset = np.zeros(shape, bool)
    offsets = corpus.offsets
    for item, conversation in enumerate(layout.conversations):
        source = slice(int(offsets[conversation]), int(offsets[conversation + 1]))
        row, start = layout.row[item], layout.start[item]
        cells = (row, slice(start, start + layout.lengths[item]))
        values = {name: array[source] for name, array in corpus.features.items()}
        values = scaling.apply(values) if scaling else values
        for name, array in values.items():
            features[name][cells] = array
        classes[cells] = labels[source]
        mask[cells] = True
        reset[row, start] = True
    return Batch(features, classes, mask, reset)


def gather(layout: Layout, values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Take [R, U, ...] apart: [utterances in the layout, ...], by conversation, in order.

    Args:
        layout: how the rows were laid out.
        values: the rows, at least R of them: rows that only pad are left out.
        axis: where R is, for values with leading axes such as seeds; U is the axis after.

    Raises:
        ValueError: the values have not the layout's axes.
    """
    values = np.asarray(values)
    lead, cells, rest = values.shape[:axis], values.shape[axis : axis + 2], values.shape[axis + 2 :]
    if len(cells) != 2 or cells[0] < layout.rows or cells[1] != layout.length:
        raise ValueError(f"axes {cells} for a layout of {layout.rows} rows of {layout.length}")
    return values.reshape(*lead, cells[0] * cells[1], *rest).take(layout.positions, axis=axis)


def pad_rows(batch: Batch, rows: int) -> Batch:
    """Append empty rows until there are `rows` of them in all.

    Raises:
        ValueError: the batch has more rows than that.
    """
    missing = rows - len(batch.mask)
    if missing < 0:
        raise ValueError(f"{len(batch.mask)} rows cannot be padded to {rows}")

    def pad(array: np.ndarray, value: float) -> np.ndarray:
        widths = [(0, missing), *[(0, 0)] * (array.ndim - 1)]
        return np.pad(array, widths, constant_values=value)

    return Batch(
        {name: pad(array, 0.0) for name, array in batch.features.items()},
        pad(batch.labels, UNSCORED),
        pad(batch.mask, False),
        pad(batch.reset, False),
    )
