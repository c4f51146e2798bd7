"""Distances of features to the training data of a model.

The distance of an utterance in one modality is the mean of its absolute scaled features. A model
stores the quantiles of the distances of its training utterances.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mman_jax.types import Array, Batch

LEVELS = 1 - np.linspace(1, 0, 101) ** 2
"""Levels of the stored quantiles, from 0 to 1, which are densest near 1."""

LEAST = 0.01
"""Share of utterances from the training distribution that are marked as unfamiliar."""

_ROWS = 64  # rows that are read at once


@dataclasses.dataclass(frozen=True, eq=False)
class Familiarity:
    """The distribution of the distances of training utterances.

    Attributes:
        quantiles: [101] float32 for each modality, at `LEVELS`.
    """

    quantiles: Mapping[str, np.ndarray]

    def compare(
        self, features: Mapping[str, Array], present: Mapping[str, Array]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compares utterances with those of training.

        Args:
            features: [..., D] float32 by modality, scaled as in training.
            present: [...] bool for modalities that may be missing, False where they are.

        Returns:
            The share [...] of training utterances that are at least as far, the lowest over the
            modalities, NaN if all are missing; and [...] bool, whether the utterance is unfamiliar:
            this share is below `LEAST` divided by the number of its modalities, so that more
            modalities do not lead to more marks.

        Examples:
            >>> training = Familiarity({"speech": np.float32(LEVELS)})
            >>> shares, unfamiliar = training.compare({"speech": np.array([[0.0], [2.0]])}, {})
            >>> shares.tolist(), unfamiliar.tolist()
            ([1.0, 0.0], [False, True])
        """
        shares, known = [], []  # a missing modality has the share 1, which is never the lowest
        for modality, quantiles in self.quantiles.items():
            nearer = np.searchsorted(quantiles, _distances(features[modality]))
            there = np.broadcast_to(present.get(modality, True), nearer.shape)
            shares.append(np.where(there, 1 - LEVELS[np.maximum(nearer - 1, 0)], 1.0))
            known.append(there)
        count, lowest = np.sum(known, axis=0), np.min(shares, axis=0)
        return np.where(count > 0, lowest, np.nan), lowest * np.maximum(count, 1) < LEAST


def fit(rows: Batch) -> Familiarity:
    """Computes the quantiles of the training utterances in rows, which are read in chunks."""
    quantiles = {}
    for modality, packed in rows.features.items():
        chunks = range(0, len(rows.mask), _ROWS)
        distances = np.concatenate([_distances(packed[i : i + _ROWS]) for i in chunks])
        there = rows.mask & rows.present.get(modality, True)
        quantiles[modality] = np.quantile(distances[there], LEVELS).astype(np.float32)
    return Familiarity(quantiles)


def _distances(features: Array) -> np.ndarray:
    return np.abs(np.asarray(features, np.float32)).mean(-1)
