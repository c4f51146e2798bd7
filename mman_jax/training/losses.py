"""The loss of every tower and of the fusion: of classes, and of numbers.

T targets.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from mman_jax.types import UNSCORED, Array, is_scored


def cross_entropy(
    logits: Array, labels: Array, class_weights: Array, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Cross-entropy summed over the scored utterances, and their weight.

    A sum and a weight, not a mean: parts of a batch on several devices add up to the whole.

    Args:
        logits: [B, U, C] float32.
        labels: [B, U] int32, `UNSCORED` where context or padding; or [B, U, C] float32, the share
            of each class among several raters, NaN where context or padding.
        class_weights: [C] float32, one for all classes alike.
        smoothing: the share of the target that all classes divide evenly (label smoothing).

    Returns:
        Two scalars, float32: the weighted sum in nats, and the sum of the weights.

    Raises:
        AssertionError: if a shape disagrees.

    Examples:
        Logits of zero give each of two classes one half: ln 2 an utterance. Of three utterances one
        is context; it weighs nothing.

        >>> labels = jnp.array([[0, 1, UNSCORED]])
        >>> total, weight = cross_entropy(jnp.zeros((1, 3, 2)), labels, jnp.ones(2))
        >>> round(float(total / weight), 4), float(weight)
        (0.6931, 2.0)
    """
    chex.assert_rank(logits, 3)
    chex.assert_shape(labels, logits.shape[: labels.ndim])
    chex.assert_shape(class_weights, logits.shape[-1:])
    if labels.ndim == 3:
        return _of_shares(logits, labels, class_weights, smoothing)
    scored = labels != UNSCORED
    classes = jnp.where(scored, labels, 0)
    log_probabilities = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probabilities, classes[..., None], axis=-1)[..., 0]
    if smoothing:
        picked = (1 - smoothing) * picked + smoothing * log_probabilities.mean(-1)
    weights = jnp.where(scored, class_weights[classes], 0.0)
    return -jnp.sum(weights * picked), jnp.sum(weights)


def balanced_weights(labels: Array, classes: int) -> Array:
    """Weights [C] float32, the rarer the class the greater, 1 on average.

    Args:
        labels: int32 of any shape, `UNSCORED` where context or padding; or shares [..., C]
            float32, NaN where context or padding.
        classes: C.

    Examples:
        Four of one class and one of the other: 5 / (2 * 4) and 5 / (2 * 1).

        >>> balanced_weights(jnp.array([0, 0, 0, 0, 1, UNSCORED]), 2).tolist()
        [0.625, 2.5]
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        counts = jnp.nansum(labels.reshape(-1, classes), axis=0)
    else:
        counts = jnp.stack([jnp.sum(labels == c) for c in range(classes)])
    occurring = jnp.sum(counts > 0)
    # A class that training lacks weighs one: it must not decide the validation loss alone.
    there = jnp.where(counts > 0, counts, 1)
    weights = jnp.sum(counts) / (jnp.maximum(occurring, 1) * there)
    return jnp.where(counts > 0, weights, 1.0).astype(jnp.float32)


def l1(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Absolute errors summed over what is scored, and how many there are.

    Args:
        answers: [B, U, T] float32.
        targets: [B, U, T] float32, NaN where context or padding.
        total: adds up over the devices; not needed for a sum.

    Examples:
        >>> targets = jnp.array([[[1.0], [jnp.nan]]])
        >>> [float(x) for x in l1(jnp.array([[[3.0], [9.0]]]), targets, lambda x: x)]
        [2.0, 1.0]
    """
    return _errors(answers, targets, jnp.abs)


def mse(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Squared errors summed over what is scored, and how many there are; see `l1`."""
    return _errors(answers, targets, jnp.square)


def ccc(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """1 - CCC over a whole batch, the mean over the targets: as a sum and a weight, see `l1`.

    CCC is Lin's concordance (Lin 1989), 2 cov(x, y) / (var x + var y + (mean x - mean y)^2). A
    target that fewer than two utterances of the batch have counts for nothing. Over several devices
    the batch is all of theirs: `total` adds its moments up, the value is that of the whole, and
    the gradients of the devices add up to its gradient.
    """
    chex.assert_equal_shape([answers, targets])
    scored = is_scored(targets)
    x, y = (jnp.where(scored, v, 0.0) for v in (answers, targets))
    moments = jnp.stack([v.sum((0, 1)) for v in (scored * 1.0, x, y, x * x, y * y, x * y)])
    whole = jax.lax.stop_gradient(total(jax.lax.stop_gradient(moments)))
    value, slope = jax.value_and_grad(lambda m: _discord(m).sum())(whole)
    weight = scored.sum().astype(jnp.float32)
    everywhere = jnp.maximum(total(weight), 1.0)
    own = jnp.sum(slope * (moments - jax.lax.stop_gradient(moments)))
    return weight * value + everywhere * own, weight


NUMBERS = {"l1": l1, "mse": mse, "ccc": ccc}
"""The losses of numbers, by what a config calls them."""


def _discord(moments: Array) -> Array:
    """Each target's share [T] of the mean 1 - CCC, from sums [6, T] of 1, x, y, xx, yy and xy."""
    told = moments[0] >= 2
    n = jnp.where(told, moments[0], 1.0)
    x, y, xx, yy, xy = moments[1:] / n
    apart = (xx - x * x) + (yy - y * y) + (x - y) ** 2
    # Of answers and targets that are all one number the denominator is 0, and nothing is wrong.
    found = 2 * (xy - x * y) / jnp.where(apart > 1e-12, apart, 1.0)
    return jnp.where(told, 1 - found, 0.0) / jnp.maximum(told.sum(), 1)


def _errors(answers: Array, targets: Array, of: Callable[[Array], Array]) -> tuple[Array, Array]:
    chex.assert_equal_shape([answers, targets])
    scored = is_scored(targets)
    errors = of(jnp.where(scored, answers - jnp.where(scored, targets, 0.0), 0.0))
    return errors.sum(), scored.sum().astype(jnp.float32)


def _of_shares(
    logits: Array, shares: Array, class_weights: Array, smoothing: float
) -> tuple[Array, Array]:
    scored = is_scored(shares)
    weights = jnp.where(scored, shares, 0.0) * class_weights
    told = jax.nn.log_softmax(logits)
    if smoothing:
        told = (1 - smoothing) * told + smoothing * told.mean(-1, keepdims=True)
    return -jnp.sum(weights * told), jnp.sum(weights)
