"""Reduction: standard scores, then principal components, by the training utterances alone."""

import dataclasses

import numpy as np

from mman_jax.data.scaling import LIMIT, is_constant
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """What to subtract, multiply and project by; K components of D features.

    Attributes:
        mean: [D] float64.
        scale: [D] float64: one over the deviation, or 1 for a constant column.
        centre: [D] float64, the mean of the standard scores after they were limited.
        components: [D, K] float64, orthonormal columns, the greatest variance first.
    """

    mean: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    components: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """The components [..., K] float32 of features [..., D].

        Raises:
            InputError: another D than was fitted.
        """
        if features.shape[-1] != len(self.mean):
            raise InputError("reduction", f"{features.shape[-1]} features", f"{len(self.mean)}")
        scores = _standard(features, self.mean, self.scale) - self.centre
        return (scores @ self.components).astype(np.float32)


def fit(features: np.ndarray, components: int) -> Reduction:
    """Fits on training utterances, in float64.

    Of the K components, the training utterances allow at most N - 1 and at most D.

    Args:
        features: [N, D] float32 of the training utterances alone.
        components: K.

    Raises:
        InputError: fewer than two utterances.
    """
    count, size = features.shape
    if count < 2:
        raise InputError("reduction", f"{count} training utterances", "at least 2")
    components = min(components, count - 1, size)
    mean = _sum(features, lambda x: x.sum(0)) / count
    deviation = np.sqrt(_sum(features, lambda x: ((x - mean) ** 2).sum(0)) / count)
    scale = 1.0 / np.where(is_constant(mean, deviation), 1.0, deviation)
    centre = _sum(features, lambda x: _standard(x, mean, scale).sum(0)) / count
    found = _components(features, mean, scale, centre, components)
    # Of a direction and its opposite, the one whose largest entry is positive.
    largest = found[np.abs(found).argmax(0), np.arange(found.shape[1])]
    return Reduction(mean, scale, centre, found * np.where(largest < 0, -1.0, 1.0))


def _components(features, mean, scale, centre, components):
    import scipy.linalg  # takes long, and few commands need it

    count, size = features.shape

    def scores(rows):
        return _standard(rows, mean, scale) - centre

    if count < size:
        # The few products of utterances tell the same as the many of features.
        whole = scores(features)
        last = [count - components, count - 1]
        vectors = scipy.linalg.eigh(whole @ whole.T, subset_by_index=last)[1]
        return np.linalg.qr(whole.T @ vectors[:, ::-1])[0]
    last = [size - components, size - 1]
    covariance = _sum(features, lambda x: scores(x).T @ scores(x))
    return scipy.linalg.eigh(covariance, subset_by_index=last)[1][:, ::-1]


def _standard(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((features.astype(np.float64) - mean) * scale, -LIMIT, LIMIT)


def _sum(features: np.ndarray, of):
    """A sum over all rows, in bounded memory."""
    return sum(of(features[rows].astype(np.float64)) for rows in row_chunks(features))
