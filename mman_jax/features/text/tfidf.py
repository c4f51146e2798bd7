"""TF-IDF reduced by a singular value decomposition: text features that need nothing else."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.text.words import tokens

_SMALLEST = 1e-6  # singular value, as a share of the greatest: below it there is rounding alone


@dataclasses.dataclass(frozen=True, eq=False)
class TfIdf:
    """V words of the training transcripts, and K directions.

    Attributes:
        vocabulary: [V] str, sorted.
        idf: [V] float64: 1 + ln((1 + N) / (1 + transcripts with the word)).
        components: [V, K] float64, orthonormal columns, the greatest singular value first.
    """

    vocabulary: np.ndarray
    idf: np.ndarray
    components: np.ndarray

    def apply(self, transcripts: Sequence[str]) -> np.ndarray:
        """Features [N, K] float32; a transcript without a known word gets zeros."""
        return (_weights(self.vocabulary, self.idf, transcripts) @ self.components).astype(
            np.float32
        )


def fit(transcripts: Sequence[str], components: int) -> TfIdf:
    """Fits on the N training transcripts; they allow at most min(N, V) - 1 components.

    Directions in which no training transcript points are left out, too: they would be noise.

    Raises:
        InputError: too few transcripts or words.
    """
    documents = [set(tokens(transcript)) for transcript in transcripts]
    seen = Counter(word for document in documents for word in document)
    components = min(components, len(documents) - 1, len(seen) - 1)
    if components < 1:
        found = f"{len(documents)} training transcripts of {len(seen)} different words"
        raise InputError("text", found, "at least 2 of each")
    vocabulary = np.array(sorted(seen))
    counts = np.array([seen[word] for word in vocabulary.tolist()])
    idf = 1.0 + np.log((1 + len(documents)) / (1 + counts))
    from scipy.sparse.linalg import svds  # takes long, and few commands need it

    weights = _weights(vocabulary, idf, transcripts)
    # A fixed start makes the iteration give the same numbers each time.
    start = np.ones(min(weights.shape))
    _, values, directions = svds(weights, k=components, v0=start)
    order = np.argsort(-values)
    directions = directions[order[values[order] > _SMALLEST * values.max()]].T
    largest = directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])]
    return TfIdf(vocabulary, idf, directions * np.where(largest < 0, -1.0, 1.0))


def _weights(
    vocabulary: np.ndarray, idf: np.ndarray, transcripts: Sequence[str]
) -> Any:  # scipy.sparse.csr_array
    """TF-IDF [N, V], rows of length one (or zero)."""
    from scipy.sparse import csr_array

    index = {word: i for i, word in enumerate(vocabulary.tolist())}
    rows, columns, values = [], [], []
    for row, transcript in enumerate(transcripts):
        known = Counter(index[word] for word in tokens(transcript) if word in index)
        weights = np.array([count * idf[i] for i, count in known.items()])
        rows += [row] * len(known)
        columns += known
        values += (weights / (np.linalg.norm(weights) if len(weights) else 1.0)).tolist()
    shape = (len(transcripts), len(vocabulary))
    return csr_array((values, (rows, columns)), shape=shape)
