"""Answers turn by turn: all that is carried is a conversation's state, however long it lasts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.systems.mman import Network
from mman_jax.types import Array


def init_state(network: Network, params: Any, features: Mapping[str, Array]) -> Any:
    """The state before a conversation's first utterance.

    Args:
        network: the trained network.
        params: of one seed.
        features: an utterance's, [D] a modality; only shapes count.

    Returns:
        By tower, and for a fusion that has one, zeros [1, H] float32 a layer: of one size however
        long the conversation lasts.
    """
    _, state = jax.eval_shape(lambda p, x: _apply(network, p, None, x), params, features)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)


def step(
    network: Network,
    params: Any,
    state: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
) -> tuple[Any, Array]:
    """One utterance: the state after it, and the probabilities [C] of its classes.

    Pure: `jax.jit(functools.partial(step, network))` compiles it, and `jax.vmap` of that runs many
    conversations or seeds at once.

    Args:
        network: the trained network.
        params: of one seed.
        state: of the conversation so far.
        features: the utterance's, [D] float32 a modality, scaled as in training.
        present: bool, of modalities that may be missing; a missing one's features count for
            nothing, but their shape does.

    Returns:
        The state, of the same shapes as before, and probabilities [C] float32 that sum to one.

    Examples:
        An untrained network whose parameters are all zero finds both classes alike.

        >>> from mman_jax.systems.building import build
        >>> block = {"hidden": (3,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}
        >>> network = build({"unimodal": {"default": block}}, ["speech"], classes=2)
        >>> rows = {"speech": jnp.zeros((1, 1, 5))}
        >>> shapes = jax.eval_shape(network.init, jax.random.key(0), rows, jnp.ones((1, 1), bool))
        >>> params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes["params"])
        >>> utterance = {"speech": jnp.ones(5)}
        >>> state = init_state(network, params, utterance)
        >>> state, probabilities = step(network, params, state, utterance)
        >>> probabilities.tolist()
        [0.5, 0.5]
    """
    logits, state = _apply(network, params, state, features, present)
    return state, jax.nn.softmax(logits[network.head][0, 0])


def _apply(network, params, state, features, present=None):
    rows = {m: x[None, None] for m, x in features.items()}
    there = {m: jnp.reshape(p, (1, 1)) for m, p in (present or {}).items()}
    start = jnp.zeros((1, 1), bool)
    return network.apply({"params": params}, rows, start, state, present=there)
