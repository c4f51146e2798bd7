"""Frames inside cells, laid in rows beside what is one vector a cell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.batching import Layout, items_by_row
from mman_jax.data.corpus import Corpus
from mman_jax.data.scaling import Scaling
from mman_jax.data.sequences import Sequence
from mman_jax.types import Batch


class LaidFrames:
    """What lies inside the cells of a layout, [R + 1, U, F, D] float32, the last row empty.

    F is the most that a cell of the corpus has. Rows are read, scaled and filled up with zeros when
    they are asked for, as those of `batching.LaidFeatures`.

    Attributes:
        present: [R + 1, U, F] bool, where there is a frame.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        corpus: Corpus,
        layout: Layout,
        modality: str,
        frames: Sequence,
        scaling: Scaling | None,
    ):
        """Reads nothing yet.

        Args:
            corpus: of N utterances, the cells.
            layout: which conversations, and where.
            modality: whose frames, for the scaling.
            frames: of the N utterances.
            scaling: how to scale them, or None: as they are.
        """
        self._layout, self._modality, self._scaling = layout, modality, scaling
        self._frames, self._cells, self._starts = frames, corpus.offsets, frames.offsets
        cells, most = (layout.rows + 1, layout.length), max(1, int(frames.lengths.max(initial=0)))
        self.shape = (*cells, most, frames.values.shape[1])
        counts = np.zeros(cells, np.int64)
        order = corpus.utterances_of(layout.conversations)
        counts.reshape(-1)[layout.positions] = frames.lengths[order]
        self.present = np.arange(most) < counts[..., None]
        self._items = items_by_row(layout)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """The frames [B, U, F, D] of some rows."""
        wanted = np.arange(self.shape[0])[index]
        laid = np.zeros((len(wanted), *self.shape[1:]), np.float32)
        for target, row in enumerate(wanted):
            for item in self._items[row]:
                first, last = self._cells[self._layout.conversations[item] :][:2]
                counts = self._frames.lengths[first:last]
                values = self._frames.values[self._starts[first] : self._starts[last]]
                if self._scaling is not None:
                    values = self._scaling.apply({self._modality: values})[self._modality]
                start = self._layout.start[item]
                inside = np.arange(self.shape[2]) < counts[:, None]
                laid[target, start : start + len(counts)][inside] = values
        return laid

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows."""
        return self[:].astype(dtype or self.dtype, copy=False)


def inside(
    batch: Batch,
    corpus: Corpus,
    layout: Layout,
    frames: Mapping[str, Sequence],
    scaling: Scaling | None,
) -> Batch:
    """A layout's rows, some modalities as frames in place of one vector a cell.

    Args:
        batch: as `batching.rows` gives it.
        corpus: of N utterances, the cells.
        layout: which conversations, and where.
        frames: of the N utterances, by modality; features are then [R + 1, U, F, D], and `present`
            is [R + 1, U, F].
        scaling: how to scale them, or None: as they are.
    """
    laid = {m: LaidFrames(corpus, layout, m, own, scaling) for m, own in frames.items()}
    present = {m: own.present for m, own in laid.items()}
    return batch._replace(features={**batch.features, **laid}, present={**batch.present, **present})
