"""Answers turn by turn: all that is carried is a conversation's state, however long it lasts."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.errors import InputError
from mman_jax.inference.model import Model, answers
from mman_jax.systems.base import System
from mman_jax.systems.estimator import check_network
from mman_jax.types import Array, Inputs


def init_state(system: System, params: Any, features: Mapping[str, Array]) -> Any:
    """The state before a conversation's first utterance.

    Args:
        system: the trained system.
        params: of one seed.
        features: an utterance's, [D] a modality; only shapes count.

    Returns:
        The system's own pytree of arrays [1, ...], all zeros: of one size however long the
        conversation lasts.

    Raises:
        InputError: if the system cannot answer turn by turn.
    """
    check_streams(system)
    _, state = jax.eval_shape(lambda p, x: _apply(system, p, None, x), params, features)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)


def check_streams(system: System) -> None:
    """Refuses a system that cannot answer turn by turn.

    Raises:
        InputError: it sees later utterances, its state grows, or it is no network.
    """
    check_network("answers turn by turn", system)
    if not system.causal or not system.streams:
        why = "grows with the conversation" if system.causal else "depends on later utterances"
        found = f"{type(system).__name__}, whose {'state' if system.causal else 'answer'} {why}"
        raise InputError("answers turn by turn", found, "a causal system, such as mman; or a file")


def check_whole(models: Sequence[Model]) -> None:
    """Refuses models that answer an utterance by what is inside it, where it is one vector.

    Raises:
        InputError: naming the system.
    """
    for model in models:
        if not model.whole:
            cells = "frames" if model.words is None else "words"
            found = f"a {type(model.build()).__name__} over {cells}, read from a corpus"
            raise InputError("utterances as vectors", found, "a system over utterances; or a file")


def step(
    system: System,
    params: Any,
    state: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
    units: Array | None = None,
) -> tuple[Any, Array]:
    """One utterance: the state after it, and the probabilities [C] of its classes, or C numbers.

    Pure: `jax.jit(functools.partial(step, system))` compiles it, and `jax.vmap` of that runs many
    conversations or seeds at once.

    Args:
        system: the trained system.
        params: of one seed.
        state: of the conversation so far.
        features: the utterance's, [D] float32 a modality, scaled as in training.
        present: bool, of modalities that may be missing; a missing one's features count for
            nothing, but their shape does.
        units: [2, C] of a model that answers numbers (`Model.units`); None: it answers classes.

    Returns:
        The state, of the same shapes as before, and probabilities [C] float32 that sum to one; or
        the numbers in the units of their targets.

    Examples:
        An untrained network whose parameters are all zero finds both classes alike.

        >>> from mman_jax.systems import build
        >>> block = {"hidden": (3,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}
        >>> system = build({"unimodal": {"default": block}}, ["speech"], outputs=2)
        >>> shapes = system.parameter_shapes({"speech": 5})
        >>> params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
        >>> utterance = {"speech": jnp.ones(5)}
        >>> state = init_state(system, params, utterance)
        >>> state, probabilities = step(system, params, state, utterance)
        >>> probabilities.tolist()
        [0.5, 0.5]
    """
    logits, state = _apply(system, params, state, features, present)
    return state, answers(logits[system.head][0, 0], units)


def _apply(system, params, state, features, present=None):
    rows = {m: x[None, None] for m, x in features.items()}
    there = {m: jnp.reshape(p, (1, 1)) for m, p in (present or {}).items()}
    start = jnp.zeros((1, 1), bool)
    return system.apply({"params": params}, Inputs.unpadded(rows, start, there), state)
