"""The loss of every tower and of the fusion."""

import chex
import jax
import jax.numpy as jnp

from mman_jax.types import UNSCORED, Array


def cross_entropy(
    logits: Array, labels: Array, class_weights: Array, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Cross-entropy summed over the scored utterances, and their weight.

    A sum and a weight, not a mean: parts of a batch on several devices add up to the whole.

    Args:
        logits: [B, U, C] float32.
        labels: [B, U] int32, `UNSCORED` where context or padding.
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
    chex.assert_shape(labels, logits.shape[:2])
    chex.assert_shape(class_weights, logits.shape[-1:])
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
        labels: int32 of any shape, `UNSCORED` where context or padding.
        classes: C.

    Examples:
        Four of one class and one of the other: 5 / (2 * 4) and 5 / (2 * 1).

        >>> balanced_weights(jnp.array([0, 0, 0, 0, 1, UNSCORED]), 2).tolist()
        [0.625, 2.5]
    """
    counts = jnp.stack([jnp.sum(labels == c) for c in range(classes)])
    occurring = jnp.sum(counts > 0)
    # A class that training lacks weighs one: it must not decide the validation loss alone.
    weights = jnp.sum(counts) / (jnp.maximum(occurring, 1) * jnp.maximum(counts, 1))
    return jnp.where(counts > 0, weights, 1.0).astype(jnp.float32)
