"""Batching: full conversations packed in rows of equal length."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.scaling import Scaling
from mman_jax.data.sequences import Sequence, spans
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED, Batch


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Positions of C conversations in rows; the rest of the rows is padding.

    Attributes:
        row: [C] int64, row of each conversation.
        start: [C] int64, position of its first utterance in the row.
        lengths: [C] int64, its number of utterances.
        conversations: [C] int64, its index in the corpus.
        rows: R, number of rows.
        length: U, number of utterances in a row, including padding.
    """

    row: np.ndarray
    start: np.ndarray
    lengths: np.ndarray
    conversations: np.ndarray
    rows: int
    length: int

    @property
    def positions(self) -> np.ndarray:
        """[utterances] int64: positions in the R * U cells, by conversation, in order."""
        return spans(self.row * self.length + self.start, self.lengths)


def pack(lengths: np.ndarray, conversations: Indices, length: int | None = None) -> Layout:
    """Packs conversations in few rows: longest first, each into the first row with enough space.

    `lengths` is that of the corpus; `length` is U, by default the length of the longest.

    Raises:
        InputError: There are no conversations, or one is longer than `length`.

    Examples:
        Conversations of 5, 2 and 3 utterances: the first fills a row, the other two share one,
        starting with the longer one.

        >>> layout = pack(np.array([5, 2, 3]), [0, 1, 2])
        >>> layout.rows, layout.length
        (2, 5)
        >>> layout.row.tolist(), layout.start.tolist()
        ([0, 1, 1], [0, 3, 0])
        >>> layout.positions.tolist()
        [0, 1, 2, 3, 4, 8, 9, 5, 6, 7]
    """
    indices = np.asarray(conversations, np.int64)
    if not len(indices):
        raise InputError("batching", "no conversations (an empty split)", "at least one")
    sizes = np.asarray(lengths)[indices].astype(np.int64)
    longest = int(sizes.max())
    length = longest if length is None else int(length)
    if longest > length:
        found = f"conversation number {indices[np.argmax(sizes)]} has {longest} utterances"
        raise InputError("batching", found, f"at most the row length, {length}")
    row, start, used = (np.zeros(len(sizes), np.int64) for _ in range(3))
    rows = 0
    for item in np.argsort(-sizes, kind="stable"):
        fits = used[:rows] + sizes[item] <= length
        target = int(np.argmax(fits)) if fits.any() else rows
        rows = max(rows, target + 1)
        row[item], start[item] = target, used[target]
        used[target] += sizes[item]
    return Layout(row, start, sizes, indices, rows, length)


class PackedFeatures:
    """Features [R + 1, U, D] of one modality in a layout, float32; the last row is empty.

    Rows are read from the corpus, which may be memory-mapped, and scaled on access by
    `packed[rows]`, with an array or a slice of row indices. `numpy.asarray` reads all rows.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, corpus: Corpus, layout: Layout, modality: str, scaling: Scaling | None):
        self._values, self._layout = corpus.features[modality], layout
        self._offsets = corpus.offsets
        self._present = corpus.present.get(modality)
        self._scale, self._size = (lambda values, first: values), corpus.dims[modality]
        if scaling is not None:
            self._scale = scaling.of_corpus(corpus, layout.conversations, modality)
            self._size = scaling.sizes[modality]
        self.shape: tuple[int, ...] = (layout.rows + 1, layout.length, self._size)
        by_row = np.argsort(layout.row, kind="stable")
        bounds = np.searchsorted(layout.row[by_row], np.arange(layout.rows + 2))
        self._items = [by_row[a:b] for a, b in itertools.pairwise(bounds)]

    @property
    def nbytes(self) -> int:
        """Number of bytes of all rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """Returns the features of some rows."""
        rows = np.arange(self.shape[0])[index]
        packed = np.zeros((len(rows), *self.shape[1:]), np.float32)
        for target, row in enumerate(rows):
            for item in self._items[row]:
                start = self._layout.start[item]
                cells = packed[target, start : start + self._layout.lengths[item]]
                first, last = self._offsets[self._layout.conversations[item] :][:2]
                self._fill(cells, first, last)
        return packed

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all rows."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _fill(self, cells: np.ndarray, first: int, last: int) -> None:
        """Writes the features of a conversation's utterances into zero-initialised cells."""
        values = self._scale(self._values[first:last], first)
        if self._present is not None:
            values = np.where(self._present[first:last, None], values, np.float32(0))
        cells[:] = values


class PackedFrames(PackedFeatures):
    """Frames [R + 1, U, F, D] inside the cells of a layout; otherwise as `PackedFeatures`.

    F is the largest number of frames in a cell of the corpus.

    Attributes:
        present: [R + 1, U, F] bool, where there is a frame.
    """

    def __init__(
        self,
        corpus: Corpus,
        layout: Layout,
        modality: str,
        scaling: Scaling | None,
        frames: Sequence,
    ):
        super().__init__(corpus, layout, modality, scaling)
        self._frames, self._starts = frames, frames.offsets
        most = max(1, int(frames.lengths.max(initial=0)))
        self.shape = (layout.rows + 1, layout.length, most, self._size)
        order = corpus.utterances_of(layout.conversations)
        counts = place(layout, frames.lengths[order], 0)
        self.present = np.arange(most) < counts[..., None]

    def _fill(self, cells: np.ndarray, first: int, last: int) -> None:
        """Writes the frames of a conversation's utterances."""
        counts = self._frames.lengths[first:last]
        inside = np.arange(self.shape[2]) < counts[:, None]
        values = self._frames.values[self._starts[first] : self._starts[last]]
        cells[inside] = self._scale(values, first)


def rows(
    corpus: Corpus,
    layout: Layout,
    scaling: Scaling | None,
    frames: Mapping[str, Sequence] | None = None,
    context: bool = True,
) -> Batch:
    """Fills a layout, [R + 1, U, ...]; padding has features 0 and mask False, as has the last row.

    Features are read on access (see `PackedFeatures`), and labels are `UNSCORED`. Modalities with
    `frames` become `PackedFrames`; without `context`, each utterance is a conversation.
    """
    order = corpus.utterances_of(layout.conversations)
    mask = place(layout, np.ones(len(order), bool), False)
    reset = np.zeros(mask.shape, bool) if context else mask.copy()
    reset[layout.row, layout.start] = True
    # Padding also starts with a reset: a backward pass must not carry it into a conversation.
    used = mask.sum(1)
    padded = np.flatnonzero(used < layout.length)
    reset[padded, used[padded]] = True
    features: dict[str, Any] = {}
    present = {name: place(layout, rows[order], False) for name, rows in corpus.present.items()}
    for name in corpus.features:
        if frames and name in frames:
            features[name] = PackedFrames(corpus, layout, name, scaling, frames[name])
            present[name] = features[name].present
        else:
            features[name] = PackedFeatures(corpus, layout, name, scaling)
    return Batch(features, np.full(mask.shape, UNSCORED, np.int32), mask, reset, present)


def place(layout: Layout, values: np.ndarray, padding: Any) -> np.ndarray:
    """Places [utterances in the layout, ...] in rows [R + 1, U, ...], in the order of `gather`."""
    placed = np.full(((layout.rows + 1) * layout.length, *values.shape[1:]), padding, values.dtype)
    placed[layout.positions] = values
    return placed.reshape(layout.rows + 1, layout.length, *values.shape[1:])


def gather(layout: Layout, values: npt.ArrayLike, axis: int = 0) -> np.ndarray:
    """Gathers [utterances in the layout, ...] from rows [R, U, ...]; the inverse of `place`.

    Values may have leading axes such as seeds; `axis` is that of R. Rows of padding are ignored.

    Raises:
        ValueError: The axes of the values differ from the layout's.
    """
    values = np.asarray(values)
    lead, cells, rest = values.shape[:axis], values.shape[axis : axis + 2], values.shape[axis + 2 :]
    if len(cells) != 2 or cells[0] < layout.rows or cells[1] != layout.length:
        raise ValueError(f"axes {cells} for a layout of {layout.rows} rows of {layout.length}")
    return values.reshape(*lead, cells[0] * cells[1], *rest).take(layout.positions, axis=axis)
