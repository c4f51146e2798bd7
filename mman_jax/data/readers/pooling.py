"""Frames and words of an utterance: made one vector, or kept as sequences, or both."""

import dataclasses
import math
from collections.abc import Callable, Iterable

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.files.on_disk import OnDisk

POOLS = ("mean", "mean_std", "last")
"""Over the real frames: their mean [D], mean and standard deviation [2 D], the last one [D]."""

How = str | None
"""One of `POOLS`; or None: sequences are kept, and as a feature they are the mean."""

_CHUNK_VALUES = 1 << 22


@dataclasses.dataclass(eq=False)
class Pooled:
    """What frames became.

    Attributes:
        features: [N, D] or [N, 2 D] float32; zeros where an utterance has no frame.
        present: [N] bool, whether it has one.
        replaced: how many values were NaN or infinite, and 0 in their place.
    """

    features: np.ndarray
    present: np.ndarray
    replaced: int


def check(how: How) -> None:
    """Raises InputError for a way of pooling that is none of `POOLS`."""
    if how is not None and how not in POOLS:
        raise InputError("pool", repr(how), nearest(how, POOLS))


def rows_at_once(array: np.ndarray | OnDisk) -> int:
    """Rows of [N, ...] that are read at a time."""
    return max(1, _CHUNK_VALUES // max(1, math.prod(array.shape[1:])))


def padded(
    array: np.ndarray | OnDisk,
    real: Callable[[slice, np.ndarray], np.ndarray],
    how: How,
) -> Pooled:
    """Pools [N, T, D], a chunk of rows at a time.

    Args:
        array: the frames and what pads them.
        real: from a slice of rows and its values [n, T, D] to [n, T] bool: which are frames.
        how: see `How`.
    """
    features, present, replaced = [], [], 0
    step = rows_at_once(array)
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        block = np.asarray(array[rows])
        frames = real(rows, block)
        block, count = finite(block, frames)
        replaced += count
        features.append(_pool(block, frames, how))
        present.append(frames.any(1))
    return Pooled(np.concatenate(features), np.concatenate(present), replaced)


def vectors(array: np.ndarray) -> Pooled:
    """What is one vector an utterance already, [N, D]."""
    block, count = finite(array, np.ones(len(array), bool))
    return Pooled(_narrow(block), np.ones(len(array), bool), count)


def ragged(sequences: Iterable[np.ndarray], how: How) -> Pooled:
    """Pools N arrays [T, D], of any T each and one D; T may be 0."""
    features, present, replaced = [], [], 0
    for sequence in sequences:
        frames = np.ones((1, len(sequence)), bool)
        block, count = finite(np.asarray(sequence)[None], frames)
        replaced += count
        features.append(_pool(block, frames, how)[0])
        present.append(len(sequence) > 0)
    return Pooled(np.stack(features), np.array(present, bool), replaced)


def nonzero(block: np.ndarray, front: bool) -> np.ndarray:
    """[n, T] bool of [n, T, D]: the frames, where rows of zeros pad one side.

    Rows of zeros between frames, or on the other side, are frames.
    """
    filled = (block != 0).any(2)  # NaN and infinity are no zeros
    if front:
        return np.logical_or.accumulate(filled, axis=1)
    return np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]


def describe(how: How) -> str:
    """The way of pooling in words."""
    if how is None:
        return "frames as they are; over utterances their mean"
    words = {"mean": "mean of the frames", "last": "last frame"}
    return words.get(how, "mean and standard deviation of the frames")


def finite(block: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, int]:
    """The values, those of no finite size as 0; and how many of the frames' were such."""
    known = np.isfinite(block)
    if known.all():
        return block, 0
    return np.where(known, block, 0), int((~known & frames[..., None]).sum())


def _pool(block: np.ndarray, frames: np.ndarray, how: How) -> np.ndarray:
    count = frames.sum(1)
    if how == "last":
        last = frames.shape[1] - 1 - frames[:, ::-1].argmax(1) if frames.shape[1] else count
        width = block.shape[2]
        rows = block[np.arange(len(block)), last] if frames.shape[1] else np.zeros((1, width))
        return _narrow(np.where(count[:, None] > 0, rows, 0))
    weights = frames / np.maximum(count, 1)[:, None]
    # Not block * weights, which would be another array of its size.
    mean = np.einsum("ntd,nt->nd", block, weights)
    if how in (None, "mean"):
        return _narrow(mean)
    centred = np.where(frames[..., None], block - mean[:, None], 0)
    deviation = np.sqrt(np.einsum("ntd,ntd,nt->nd", centred, centred, weights))
    return _narrow(np.concatenate([mean, deviation], 1))


def _narrow(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
        return values.astype(np.float32)
