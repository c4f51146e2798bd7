"""Scaling: standardisation by the statistics of the training conversations."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError, nearest

LIMIT = 20.0
"""Limit of scaled features, since columns that are (nearly) constant in training may have extreme
values elsewhere."""

_CONSTANT = 1e-6
"""Ratio of deviation to mean below which variation is only float32 rounding."""

_SMALLEST = 1e-30
"""Deviation below which the reciprocal is too large for float32."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """The standard scores of columns.

    Attributes:
        mean: [D] float32 of each modality.
        scale: [D] float32 of each modality: one over the deviation, or 1 for a constant column,
            which becomes 0 in training and stays bounded elsewhere.
    """

    mean: dict[str, np.ndarray]
    scale: dict[str, np.ndarray]

    def apply(self, features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scales [..., D] arrays to float32 copies, clipped to plus and minus LIMIT.

        Raises:
            InputError: A modality was not fitted, or D differs.
        """
        return {name: self._apply_one(name, array) for name, array in features.items()}

    def _apply_one(self, modality: str, array: np.ndarray) -> np.ndarray:
        if modality not in self.mean:
            raise InputError(f"modality {modality}", "unknown", nearest(modality, self.mean))
        mean, scale = self.mean[modality], self.scale[modality]
        if not array.shape or array.shape[-1] != len(mean):
            found = f"features of shape {array.shape}"
            raise InputError(f"modality {modality}", found, f"{len(mean)} in the last axis")
        flat = array.reshape(-1, len(mean))
        scaled = np.empty(flat.shape, np.float32)
        for chunk in row_chunks(flat):
            # In float64, since the difference of two large float32 values may overflow.
            centred = flat[chunk].astype(np.float64) - mean
            scaled[chunk] = np.clip(centred * scale.astype(np.float64), -LIMIT, LIMIT)
        return scaled.reshape(array.shape)


def fit(
    corpus: Corpus,
    conversations: Indices,
    frames: Mapping[str, sequences.Sequence] | None = None,
) -> Scaling:
    """Computes the statistics of conversations in float64, in bounded memory.

    Args:
        corpus: The corpus.
        conversations: Indices of the training conversations.
        frames: Frames of the modalities whose statistics are computed over frames.

    Raises:
        InputError: There are no conversations.

    """
    if not len(conversations):
        raise InputError("scaling", "no training conversations", "at least one")
    mean, scale = {}, {}
    for modality, array in corpus.features.items():
        inside = (frames or {}).get(modality)
        if inside is None:
            present = corpus.present.get(modality)
            centre, deviation = moments(array, corpus.offsets, conversations, present)
        else:
            bounds = inside.offsets[corpus.offsets]
            centre, deviation = moments(inside.values, bounds, conversations)
        constant = is_constant(centre, deviation)
        mean[modality] = centre.astype(np.float32)
        scale[modality] = (1.0 / np.where(constant, 1.0, deviation)).astype(np.float32)
    return Scaling(mean, scale)


def moments(
    array: np.ndarray,
    offsets: np.ndarray,
    conversations: Indices,
    present: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean and the deviation [D] float64 of columns over some conversations.

    Args:
        array: [N, D] float32.
        offsets: First row of each conversation, then N.
        conversations: Indices of the conversations.
        present: [N] bool, rows to include; None: all. The moments of no rows are 0.
        columns: Indices of columns; None: all.
    """
    chosen = np.arange(array.shape[1]) if columns is None else columns
    spans = [(int(offsets[c]), int(offsets[c + 1])) for c in np.sort(conversations)]

    def average(centre: np.ndarray, power: int) -> np.ndarray:
        total, count = np.zeros(len(chosen), np.float64), 0
        for start, stop in spans:
            for rows in row_chunks(array, start, stop):
                values = array[rows] if present is None else array[rows][present[rows]]
                values = values if columns is None else values[:, columns]
                count += len(values)
                total += ((values.astype(np.float64) - centre) ** power).sum(axis=0)
        return total / max(count, 1)

    mean = average(np.zeros(len(chosen)), 1)
    return mean, np.sqrt(average(mean, 2))


def is_constant(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns which columns [D] are constant, except for rounding."""
    return (deviation <= _CONSTANT * np.abs(mean)) | (deviation < _SMALLEST)
