"""Training a small network on labels, to use its last layer but one as features."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mman_jax.errors import InputError


class Recipe(NamedTuple):
    """How a feature network is trained.

    Attributes:
        epochs: passes over the training utterances.
        batch: utterances of a step.
        learning_rate: Adam's, decaying to zero along a cosine.
        seed: of parameters, order and dropout.
    """

    epochs: int
    batch: int
    learning_rate: float
    seed: int


def fit(
    network: nn.Module,
    inputs: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    labels: np.ndarray,
    recipe: Recipe,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> dict[str, Any]:
    """Trains on labelled utterances; classes weigh alike, however many utterances they have.

    Args:
        network: called as `network(inputs, train)`, gives features and logits [B, C].
        inputs: from utterance numbers [B] and a source of randomness to inputs [B, ...].
        labels: [N] int32 classes of the training utterances, all of them labelled.
        recipe: how.
        progress: told each epoch's mean loss.

    Returns:
        The network's variables, as NumPy arrays.

    Raises:
        InputError: labels of fewer than two classes, or training that diverges.
    """
    chex.assert_rank(labels, 1)
    if len(np.unique(labels)) < 2:
        found = f"{len(np.unique(labels))} classes among the training utterances' labels"
        raise InputError("feature network", found, "at least 2")
    random = np.random.default_rng(recipe.seed)
    batch = min(recipe.batch, len(labels))
    steps = -(-len(labels) // batch)
    weights = jnp.asarray(_balanced(labels))
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.epochs * steps)),
    )
    first = inputs(np.zeros(batch, np.int64), random)
    dropout = jax.random.key(recipe.seed)
    variables = _start(jax.eval_shape(lambda: network.init(dropout, first, train=False)), random)
    params, statistics = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    @jax.jit
    def step(params, statistics, moments, key, x, y):
        def loss_of(params):
            (_, logits), kept = network.apply(
                {"params": params, **statistics},
                x,
                train=True,
                rngs={"dropout": key},
                mutable=list(statistics),
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            # Weights are 1 on average over all batches: a batch without a rare class says less.
            return jnp.mean(losses * weights[y]), kept

        (loss, kept), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), kept, moments, loss

    moments = optimizer.init(params)
    for epoch in range(recipe.epochs):
        # Every batch is whole: the last one takes its rest from the beginning of the order.
        order = np.resize(random.permutation(len(labels)), steps * batch)
        losses = []
        for number, chosen in enumerate(order.reshape(steps, batch)):
            key = jax.random.fold_in(dropout, epoch * steps + number)
            x = inputs(chosen, random)
            params, statistics, moments, loss = step(
                params, statistics, moments, key, x, labels[chosen]
            )
            losses.append(loss)
        mean = float(np.mean([float(loss) for loss in losses]))
        if not np.isfinite(mean):
            found = f"a loss of {mean} in epoch {epoch + 1}"
            raise InputError("feature network", found, "training that converges")
        progress(epoch + 1, mean)
    return jax.tree.map(np.asarray, {"params": params, **statistics})


def _balanced(labels: np.ndarray) -> np.ndarray:
    """Weights [C] float32, the rarer the class the greater, 1 on average over the labels."""
    counts = np.bincount(labels)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1.0).astype(np.float32)


def _start(shapes: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """Variables to start from: He's normal kernels, scales and variances 1, all else 0.

    Drawn by NumPy: to compile JAX's own draws of sixty arrays takes longer than a short training.
    """

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            deviation = np.sqrt(2.0 / np.prod(leaf.shape[:-1]))
            return (deviation * random.standard_normal(leaf.shape)).astype(np.float32)
        return np.full(leaf.shape, float(name in ("scale", "var")), np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
