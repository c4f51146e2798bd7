"""Frames and words of utterances as layouts have them, gathered into sequences."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.readers import pooling
from mman_jax.files.growing import Growing
from mman_jax.files.on_disk import OnDisk

Array = np.ndarray | OnDisk
Real = Callable[[slice, np.ndarray], np.ndarray]
"""From a slice of rows and its values [n, T, D] to [n, T] bool: which are frames."""


class Cells:
    """Gathers utterances as they come, in bounded memory; what is of no finite size is 0."""

    def __init__(self):
        """None yet."""
        self._values: Growing | None = None
        self._lengths: list[np.ndarray] = []
        self._times: list[np.ndarray] = []

    def add(self, block: np.ndarray, frames: np.ndarray) -> None:
        """Adds n utterances: [n, T, D], and which are frames, [n, T] bool."""
        if self._values is None:
            self._values = Growing(block.shape[2])
        self._values.append(pooling.finite(block, frames)[0][frames])
        self._lengths.append(frames.sum(1))

    def add_one(self, values: np.ndarray, times: np.ndarray | None = None) -> None:
        """Adds one utterance [T, D]; with [T, 2] seconds, which then all must have."""
        self.add(values[None], np.ones((1, len(values)), bool))
        self._times += [] if times is None else [times]

    def skip(self) -> None:
        """Adds an utterance without frames."""
        self._lengths.append(np.zeros(1, np.int64))

    def sequence(self) -> sequences.Sequence:
        """All that was added."""
        lengths = np.concatenate(self._lengths).astype(np.int32)
        times = np.concatenate(self._times, dtype=np.float64) if self._times else None
        return sequences.Sequence(self._values.array(), lengths, times)


def of_modalities(
    padded: Mapping[str, tuple[Sequence[Array], Sequence[Real]]], notes: list[str]
) -> dict[str, sequences.Sequence]:
    """The sequences of padded modalities.

    Where all are padded to one length they were aligned: a cell that one modality has is one of
    all, and zeros in the others.

    Args:
        padded: by modality the arrays [N, T, D] of all parts, and what tells their frames.
        notes: what is decided is added to them.
    """
    several = zip(*(arrays for arrays, _ in padded.values()), strict=True)
    aligned = len(padded) > 1 and all(len({a.shape[1] for a in part}) == 1 for part in several)
    if aligned:
        notes.append("all modalities have as many cells: taken as aligned")
    found = {}
    for modality, (arrays, real) in padded.items():
        cells = Cells()
        for part, (array, own) in enumerate(zip(arrays, real, strict=True)):
            which = _any_of(padded.values(), part) if aligned else own
            step = pooling.rows_at_once(array)
            for start in range(0, len(array), step):
                rows = slice(start, min(start + step, len(array)))
                block = np.asarray(array[rows])
                cells.add(block, which(rows, block))
        found[modality] = cells.sequence()
    return found


def _any_of(padded: Iterable[tuple[Sequence[Array], Sequence[Real]]], part: int) -> Real:
    own = [(arrays[part], real[part]) for arrays, real in padded]

    def real(rows: slice, _: np.ndarray) -> np.ndarray:
        return np.logical_or.reduce([one(rows, np.asarray(array[rows])) for array, one in own])

    return real


def in_order(values: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, D] and their [T, 2] starts and ends, by their starts; no end before its start."""
    order = np.argsort(seconds[:, 0], kind="stable")
    start = seconds[order, 0]
    return values[order], np.stack([start, np.maximum(start, seconds[order, 1])], axis=1)
