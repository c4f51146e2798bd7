"""Pooling of an utterance's frames or words to one vector, and collection of sequences."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mman_jax.data.readers.items import Array
from mman_jax.data.sequences import Sequence
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError, nearest
from mman_jax.files import arrays
from mman_jax.files.arrays import Growing

POOLS = ("mean", "mean_std", "last")
"""Statistics of the frames: mean [D], mean and standard deviation [2 D], or last frame [D]."""

How = str | None
"""One of `POOLS`; or None, which stores frames as sequences and their mean as a feature."""


class Collector:
    """Collects one modality, utterance by utterance, in bounded memory.

    NaN and infinite values of frames are replaced by 0 and counted.

    Args:
        name: Name of the modality.
        pool: See `How`.

    Attributes:
        width: Number of features; None until an utterance has the modality.
    """

    def __init__(self, name: str, pool: How):
        self.name = name
        self.width: int | None = None
        self._pool, self._framed, self._replaced = pool, False, 0
        self._features: list[np.ndarray | None] = []  # [n, D] each; None: an utterance without
        self._present: list[np.ndarray] = []
        self._cells: Growing | None = None
        self._lengths: list[np.ndarray] = []
        self._times: list[np.ndarray] = []

    def add_padded(
        self, block: np.ndarray, frames: np.ndarray, place: str, cells: np.ndarray | None = None
    ) -> None:
        """Adds n utterances of frames and padding.

        Args:
            block: [n, T, D], frames and padding.
            frames: [n, T] bool, which rows are frames.
            place: Place of an error, if D differs from that of earlier utterances.
            cells: [n, T] bool, which rows are stored in the sequence; by default the frames.
        """
        self._framed = True
        block = self._pooled(block, frames, place)
        self._keep(block, frames if cells is None else cells)

    def add(
        self, frames: np.ndarray, place: str, times: np.ndarray | None = None, framed: bool = True
    ) -> None:
        """Adds one utterance.

        Args:
            frames: [T, D], for any T.
            place: Place of an error, if D differs from that of earlier utterances.
            times: [T, 2] start and end of each frame in seconds, by which sequences are sorted;
                either all utterances have times, or none.
            framed: False for a single vector, which does not make the modality a sequence.
        """
        self._framed |= framed
        # Only the sequence is sorted: floating-point sums depend on the order.
        every = np.ones((1, len(frames)), bool)
        block = self._pooled(frames[None], every, place)
        if times is not None:
            order = np.argsort(times[:, 0], kind="stable")
            start = times[order, 0]
            block = block[:, order]
            self._times.append(np.stack([start, np.maximum(start, times[order, 1])], axis=1))
        self._keep(block, every)

    def add_vectors(self, vectors: np.ndarray, place: str, check: bool = False) -> None:
        """Adds n utterances of one vector each, [n, D]; `check` replaces values not finite."""
        if check:
            vectors = self._finite(vectors, np.ones(len(vectors), bool))
        self._append(_narrow(vectors), np.ones(len(vectors), bool), place)
        self._lengths.append(np.zeros(len(vectors), np.int64))

    def add_file(self, path: Path, framed: bool | None = None) -> int:
        """Adds one utterance of a .npy file, a vector [D] or frames [T, D]; returns the rows."""
        array = np.asarray(arrays.read_npy(path)[:])
        rows = np.atleast_2d(array)
        if rows.ndim != 2 or not rows.shape[1]:
            raise InputError(path, f"shape {array.shape}", "a vector (D,) or frames (T, D)")
        self.add(rows, str(path), framed=array.ndim == 2 if framed is None else framed)
        return len(rows)

    def skip(self) -> None:
        """Adds an utterance without this modality."""
        self._features.append(None)
        self._present.append(np.zeros(1, bool))
        self._lengths.append(np.zeros(1, np.int64))

    @property
    def features(self) -> np.ndarray:
        """[N, D] or [N, 2 D] float32; zeros where an utterance has no frame."""
        empty = np.zeros((1, self.width or 0), np.float32)
        return np.concatenate([empty if rows is None else rows for rows in self._features])

    @property
    def present(self) -> np.ndarray:
        """[N] bool, whether an utterance has the modality."""
        return np.concatenate(self._present)

    def sequence(self) -> Sequence | None:
        """Returns the frames, or None if they are not stored; nothing can be added afterwards."""
        if self._cells is None or not self._framed:
            return None
        times = np.concatenate(self._times, dtype=np.float64) if self._times else None
        lengths = np.concatenate(self._lengths).astype(np.int32)
        return Sequence(self._cells.array(), lengths, times)

    def notes(self, detail: str = "") -> list[str]:
        """Returns notes on pooling and replaced values, with a detail on the frames."""
        notes = []
        if self._framed:
            notes.append(f"{self.name}: {_POOLED[self._pool]}{detail and f'; {detail}'}")
        if self._replaced:
            notes.append(f"{self.name}: {self._replaced} values are NaN or infinite, replaced by 0")
        return notes

    def _pooled(self, block: np.ndarray, frames: np.ndarray, place: str) -> np.ndarray:
        """Pools and adds the frames; returns the block with finite values."""
        block = self._finite(block, frames)
        self._append(_pool(block, frames, self._pool), frames.any(1), place)
        return block

    def _finite(self, block: np.ndarray, frames: np.ndarray) -> np.ndarray:
        known = np.isfinite(block)
        if known.all():
            return block
        self._replaced += int((~known & frames[..., None]).sum())
        return np.where(known, block, 0)

    def _append(self, features: np.ndarray, present: np.ndarray, place: str) -> None:
        if self.width is None:
            self.width = features.shape[1]
        if features.shape[1] != self.width:
            expected = f"{self.width}, as in the utterances before"
            raise InputError(place, f"{features.shape[1]} features", expected)
        self._features.append(features)
        self._present.append(present)

    def _keep(self, block: np.ndarray, cells: np.ndarray) -> None:
        self._lengths.append(cells.sum(1))
        if self._pool is None:
            self._cells = self._cells or Growing(block.shape[2])
            self._cells.append(block[cells])


_POOLED = {
    None: "all frames, and their mean as the feature",
    "mean": "mean of the frames",
    "mean_std": "mean and standard deviation of the frames",
    "last": "last frame",
}


def check(how: How) -> None:
    """Raises InputError if `how` is neither None nor one of `POOLS`."""
    if how is not None and how not in POOLS:
        raise InputError("pool", repr(how), nearest(how, POOLS))


def chunks(array: Array) -> Iterator[tuple[slice, np.ndarray]]:
    """Iterates over slices of rows and their values, in bounded memory."""
    return ((rows, np.asarray(array[rows])) for rows in row_chunks(array))


def nonzero(block: np.ndarray, front: bool) -> np.ndarray:
    """Returns which rows of [n, T, D] are frames, [n, T] bool, if rows of zeros pad one side.

    Rows of zeros between frames, or on the other side, are frames.
    """
    filled = (block != 0).any(2)  # NaN and infinity are not zero
    if front:
        return np.logical_or.accumulate(filled, axis=1)
    return np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]


def _pool(block: np.ndarray, frames: np.ndarray, how: How) -> np.ndarray:
    """Pools the frames of [n, T, D]: [n, D] or [n, 2 D] float32."""
    count = frames.sum(1)
    if how == "last":
        if not frames.shape[1]:
            return np.zeros((len(block), block.shape[2]), np.float32)
        last = frames.shape[1] - 1 - frames[:, ::-1].argmax(1)
        return _narrow(np.where(count[:, None] > 0, block[np.arange(len(block)), last], 0))
    weights = frames / np.maximum(count, 1)[:, None]
    # The product block * weights would allocate another array of this size.
    mean = np.einsum("ntd,nt->nd", block, weights)
    if how in (None, "mean"):
        return _narrow(mean)
    centred = np.where(frames[..., None], block - mean[:, None], 0)
    deviation = np.sqrt(np.einsum("ntd,ntd,nt->nd", centred, centred, weights))
    return _narrow(np.concatenate([mean, deviation], 1))


def _narrow(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # the corpus rejects infinite values, with their place
        return values.astype(np.float32)
