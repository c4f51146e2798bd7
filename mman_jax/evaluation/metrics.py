"""Scores, all from one matrix of counts: exact under padding, and sums over devices."""

import chex
import jax.numpy as jnp
import numpy as np

from mman_jax.types import UNSCORED, Array


def confusion(logits: Array, labels: Array) -> Array:
    """Counts [C, C] int32, rows the true class, columns the predicted one.

    Args:
        logits: [B, U, C] float32.
        labels: [B, U] int32, `UNSCORED` where context or padding.

    Raises:
        AssertionError: if a shape disagrees.

    Examples:
        The answers are 0, 1, 1 and 0; the last one is not scored.

        >>> logits = jnp.array([[[2.0, 1.0], [0.0, 3.0], [0.0, 3.0], [2.0, 1.0]]])
        >>> confusion(logits, jnp.array([[0, 0, 1, UNSCORED]])).tolist()
        [[1, 1], [0, 1]]
    """
    chex.assert_rank(logits, 3)
    chex.assert_shape(labels, logits.shape[:2])
    classes = logits.shape[-1]
    scored = labels != UNSCORED
    cells = jnp.where(scored, labels * classes + jnp.argmax(logits, axis=-1), classes * classes)
    counts = jnp.zeros(classes * classes + 1, jnp.int32).at[cells.ravel()].add(1)
    return counts[:-1].reshape(classes, classes)


def accuracy(counts: Array) -> Array:
    """Share of right answers [...] float, from counts [..., C, C]; 0 where nothing was scored.

    Examples:
        >>> float(accuracy(np.array([[3, 1], [0, 4]])))
        0.875
    """
    right = counts.diagonal(axis1=-2, axis2=-1).sum(-1)
    total = counts.sum((-2, -1))
    return right / (total + (total == 0))


def unweighted_recall(counts: Array) -> Array:
    """Mean over the classes that occur of the share found [...] float, from counts [..., C, C].

    Examples:
        Three of four, and four of four; a third class that nothing belongs to does not count.

        >>> float(unweighted_recall(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])))
        0.875
    """
    true = counts.sum(-1)
    recall = counts.diagonal(axis1=-2, axis2=-1) / (true + (true == 0))
    occurring = (true > 0).sum(-1)
    return recall.sum(-1) / (occurring + (occurring == 0))


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each class weighted by how often it occurs, [...] float, from counts [..., C, C].

    Examples:
        F1 is 2 * 3 / (4 + 3) of the first class and 2 * 4 / (4 + 5) of the second.

        >>> round(float(weighted_f1(np.array([[3, 1], [0, 4]]))), 4)
        0.873
    """
    true, predicted = counts.sum(-1), counts.sum(-2)
    f1 = 2 * counts.diagonal(axis1=-2, axis2=-1) / np.maximum(true + predicted, 1)
    return (f1 * true).sum(-1) / np.maximum(true.sum(-1), 1)


METRICS = {
    "accuracy": accuracy,
    "unweighted_recall": unweighted_recall,
    "weighted_f1": weighted_f1,
}
"""The scores of a test part by their names, each from counts [..., C, C]."""

_NAMES = {
    "accuracy": "accuracy",
    "unweighted_recall": "unweighted recall",
    "weighted_f1": "weighted F1",
}
_FIELD = {"iemocap4": {"accuracy": "WA", "unweighted_recall": "UA"}}


def names(protocol: str) -> dict[str, str]:
    """What tables call the scores under a protocol, by the keys of `METRICS`.

    Work on IEMOCAP calls the share of right answers weighted accuracy (WA), and the mean of the
    classes' recalls unweighted accuracy (UA).

    Examples:
        >>> names("iemocap4")
        {'accuracy': 'WA', 'unweighted_recall': 'UA', 'weighted_f1': 'weighted F1'}
        >>> names("mman4")["accuracy"]
        'accuracy'
    """
    return _NAMES | _FIELD.get(protocol, {})
