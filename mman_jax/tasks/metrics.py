"""Scores of classes from counts, which can be added over batches and devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np

from mman_jax.types import UNSCORED, Array


def confusion(logits: Array, labels: Array) -> Array:
    """Counts predictions [C, C] int32: rows are true classes, columns predicted ones.

    Args:
        logits: [B, U, C] float32.
        labels: [B, U] int32, `UNSCORED` where context or padding.

    Examples:
        The predictions are 0, 1, 1 and 0; the last one is not scored.

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
    """Computes the accuracy [...] float from counts [..., C, C]; 0 if nothing was scored.

    Examples:
        >>> float(accuracy(np.array([[3, 1], [0, 4]])))
        0.875
    """
    right = counts.diagonal(axis1=-2, axis2=-1).sum(-1)
    total = counts.sum((-2, -1))
    return right / (total + (total == 0))


def unweighted_recall(counts: Array) -> Array:
    """Computes the mean recall [...] float of the classes that occur, from counts [..., C, C].

    Examples:
        The recalls are 3 / 4 and 4 / 4; the third class does not occur, so it does not count.

        >>> float(unweighted_recall(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])))
        0.875
    """
    true = counts.sum(-1)
    recall = counts.diagonal(axis1=-2, axis2=-1) / (true + (true == 0))
    occurring = (true > 0).sum(-1)
    return recall.sum(-1) / (occurring + (occurring == 0))


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """Computes the mean F1 [...] float, weighted by the support, from counts [..., C, C].

    Examples:
        F1 is 2 * 3 / (4 + 3) of the first class and 2 * 4 / (4 + 5) of the second.

        >>> round(float(weighted_f1(np.array([[3, 1], [0, 4]]))), 4)
        0.873
    """
    classes = per_class(counts)
    true = classes["support"]
    return (classes["f1"] * true).sum(-1) / np.maximum(true.sum(-1), 1)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Computes the unweighted mean F1 [...] float of the classes, from counts [..., C, C].

    A class that is neither true nor predicted anywhere is ignored.

    Examples:
        F1 is 6 / 7 of the first class, 8 / 9 of the second; the third one does not occur.

        >>> round(float(macro_f1(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))), 4)
        0.873
    """
    classes = per_class(counts)
    seen = (counts.sum(-1) + counts.sum(-2) > 0).sum(-1)
    return classes["f1"].sum(-1) / np.maximum(seen, 1)


def micro_f1_without_majority(counts: np.ndarray) -> np.ndarray:
    """Computes the micro F1 [...] float of all classes but the most frequent true one.

    It is the score of work on DailyDialog, which leaves out "no emotion".

    Examples:
        The second class is left out: of the others, 2 of 3 predictions are right, and 2 of 4
        utterances are found.

        >>> counts = np.array([[2, 1, 0], [1, 5, 0], [0, 1, 0]])
        >>> round(float(micro_f1_without_majority(counts)), 4)
        0.5714
    """
    true, predicted = counts.sum(-1), counts.sum(-2)
    right = counts.diagonal(axis1=-2, axis2=-1)
    rest = np.arange(true.shape[-1]) != true.argmax(-1)[..., None]
    total = ((true + predicted) * rest).sum(-1)
    return 2 * (right * rest).sum(-1) / np.maximum(total, 1)


def mcc(counts: np.ndarray) -> np.ndarray:
    """Computes Matthews' correlation coefficient [...] float, -1 to 1, from counts [..., C, C].

    It is the correlation of the true and the predicted classes as one-hot vectors (Gorodkin 2004),
    and 0 if all utterances have, or are predicted as, one class.

    Examples:
        The value is (3 * 4 - 1 * 0) / sqrt(4 * 4 * 3 * 5).

        >>> round(float(mcc(np.array([[3, 1], [0, 4]]))), 4)
        0.7746
    """
    total = counts.sum((-2, -1)).astype(np.float64)
    right = counts.diagonal(axis1=-2, axis2=-1).sum(-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    covariance = right * total - (true * predicted).sum(-1)
    variances = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return covariance / np.sqrt(variances + (variances == 0))


def per_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the scores [..., C] of each class from counts [..., C, C]; 0 if undefined.

    They are `precision`, `recall`, `f1`, and `support`, the number of utterances of the class.

    Examples:
        >>> found = per_class(np.array([[3, 1], [0, 4]]))
        >>> found["precision"].tolist(), found["recall"].tolist(), found["support"].tolist()
        ([1.0, 0.8], [0.75, 1.0], [4, 4])
    """
    true, predicted = counts.sum(-1), counts.sum(-2)
    right = counts.diagonal(axis1=-2, axis2=-1)
    return {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(true, 1),
        "f1": 2 * right / np.maximum(true + predicted, 1),
        "support": true,
    }


class Metric(NamedTuple):
    """A score of classes.

    Attributes:
        compute: computes the score [...] from counts [..., C, C].
        name: its name in tables.
        is_brief: whether narrow tables show it, and results must have it.
    """

    compute: Callable[[Any], Any]
    name: str
    is_brief: bool = True


METRICS = {
    "accuracy": Metric(accuracy, "accuracy"),
    "unweighted_recall": Metric(unweighted_recall, "unweighted recall"),
    "weighted_f1": Metric(weighted_f1, "weighted F1"),
    "macro_f1": Metric(macro_f1, "macro F1"),
    "mcc": Metric(mcc, "MCC", is_brief=False),
    "micro_f1_without_majority": Metric(
        micro_f1_without_majority, "micro F1 without the majority class", is_brief=False
    ),
}
"""The scores of classes, by their names in `results.json`."""

_FIELD = {"iemocap4": {"accuracy": "WA", "unweighted_recall": "UA"}}


def names(protocol: str) -> dict[str, str]:
    """Returns the names of the scores in tables under a protocol, by the keys of `METRICS`.

    Work on IEMOCAP calls the share of right answers weighted accuracy (WA), and the mean of the
    classes' recalls unweighted accuracy (UA).

    Examples:
        >>> names("iemocap4")["accuracy"], names("iemocap4")["unweighted_recall"]
        ('WA', 'UA')
        >>> names("mman4")["accuracy"]
        'accuracy'
    """
    return {key: metric.name for key, metric in METRICS.items()} | _FIELD.get(protocol, {})
