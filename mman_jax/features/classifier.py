"""Training of small networks on labels, whose penultimate layer computes features."""

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
    """Training settings."""

    epochs: int
    batch: int  # utterances per step
    learning_rate: float  # of Adam, decaying to zero along a cosine
    seed: int  # of parameters, order and dropout


def fit(
    network: nn.Module,
    inputs: Callable[[np.ndarray, np.random.Generator], Any],
    labels: np.ndarray,
    recipe: Recipe,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> dict[str, Any]:
    """Trains a network on labelled utterances; all classes have the same total weight.

    Args:
        network: maps `(inputs, train)` to features and logits [B, C].
        inputs: maps utterance indices [B] and a random generator to inputs [B, ...].
        labels: [N] int32, classes of the training utterances, all of which are labelled.
        recipe: training settings.
        progress: called with the number and the mean loss of each epoch.

    Returns:
        The network's variables, as NumPy arrays.

    Raises:
        InputError: there are fewer than two classes, or training diverges.
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
            variables, options = {"params": params, **statistics}, {"mutable": list(statistics)}
            (_, logits), updated = network.apply(
                variables, x, train=True, rngs={"dropout": key}, **options
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            # Weights are 1 on average over all batches, but less in batches without rare classes.
            return jnp.mean(losses * weights[y]), updated

        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), statistics, moments, loss

    moments = optimizer.init(params)
    for epoch in range(recipe.epochs):
        # The last batch is completed from the beginning of the order.
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


def classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of labelled utterances, and their classes, numbered without gaps.

    `labels` are [N] int32, -1 for no label; an InputError is raised if all are -1.
    """
    labelled = np.flatnonzero(labels >= 0)
    if not len(labelled):
        expected = "labels, or features that need none (tfidf, given weights)"
        raise InputError("feature network", "no labelled training utterance", expected)
    return labelled, np.unique(labels[labelled], return_inverse=True)[1].astype(np.int32)


def _balanced(labels: np.ndarray) -> np.ndarray:
    """Computes weights [C] float32, larger for rarer classes, 1 on average over the labels."""
    counts = np.bincount(labels)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1.0).astype(np.float32)


def _start(shapes: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """Initialises variables: He's normal kernels, scales and variances 1, everything else 0.

    NumPy samples them, since compiling JAX's sampling of sixty arrays takes longer than a short
    training.
    """

    def sample(path, leaf):
        name = path[-1].key
        if name == "kernel":
            deviation = np.sqrt(2.0 / np.prod(leaf.shape[:-1]))
            return (deviation * random.standard_normal(leaf.shape)).astype(np.float32)
        return np.full(leaf.shape, float(name in ("scale", "var")), np.float32)

    return jax.tree_util.tree_map_with_path(sample, shapes)
