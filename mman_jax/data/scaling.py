"""Scaling: standard scores by the statistics of the training conversations."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError, nearest

LIMIT = 20.0
"""Scaled features stay within plus and minus this: a column that is constant in training, or
nearly so, may hold anything elsewhere, and one such value would swamp all other columns."""

_CONSTANT = 1e-6
"""A deviation smaller than this share of the mean is float32 rounding, not information."""

_SMALLEST = 1e-30
"""A smaller deviation has no reciprocal that float32 holds safely."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """What to subtract from each column and what to multiply it by, then.

    Attributes:
        mean: modality to [D] float32.
        scale: modality to [D] float32: one over the deviation, or 1 for a constant column,
            which so becomes 0 in training and stays bounded elsewhere.
    """

    mean: dict[str, np.ndarray]
    scale: dict[str, np.ndarray]

    def apply(self, features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scaled copies of [..., D] arrays, float32, clipped to plus and minus LIMIT.

        Raises:
            InputError: a modality that was not fitted, or another D than was fitted.
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
            # float64: the difference of two large float32 values may not be one.
            centred = flat[chunk].astype(np.float64) - mean
            scaled[chunk] = np.clip(centred * scale.astype(np.float64), -LIMIT, LIMIT)
        return scaled.reshape(array.shape)


def fit(
    corpus: Corpus,
    conversations: Indices,
    frames: Mapping[str, sequences.Sequence] | None = None,
) -> Scaling:
    """The statistics of these conversations, summed in float64 and in bounded memory.

    Args:
        corpus: the corpus.
        conversations: indices of the training conversations.
        frames: by modality, where the statistics are those of what lies inside the utterances.

    Raises:
        InputError: no conversations.

    Examples:
        Training is the first conversation: mean 2, deviation 1. The second is scaled by that, too.

        >>> corpus = Corpus(
        ...     features={"speech": np.array([[1], [3], [7]], np.float32)},
        ...     labels=np.array([0, 0, 0], np.int32),
        ...     label_names=("calm",),
        ...     lengths=np.array([2, 1], np.int32),
        ...     conversation_ids=("a", "b"),
        ...     utterance_ids=("a1", "a2", "b1"),
        ... )
        >>> fit(corpus, [0]).apply(corpus.features)["speech"].tolist()
        [[-1.0], [1.0], [5.0]]
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
        offsets: Row at which each conversation starts, then N.
        conversations: Indices of the conversations.
        present: [N] bool, rows that count; None: all. Without any, the moments are 0.
        columns: Indices of the columns that are computed; None: all.
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
    """Returns which columns [D] count as constant: they vary by rounding, or not at all."""
    return (deviation <= _CONSTANT * np.abs(mean)) | (deviation < _SMALLEST)
