"""Forward pass of a network: logits of every cell, and the state after the last cell."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax import traverse_util

from mman_jax.layers.precision import in_standard_numbers
from mman_jax.types import Array, Inputs


class Scope(nn.Module):
    """Calls a function whose layers have their parameters under the name of this module.

    The function may be a method of another module, with the decorator `nn.nowrap`.
    """

    @nn.compact
    def __call__(self, function: Callable, *arguments: Any) -> Any:
        """Calls the function."""
        return function(*arguments)


class Step(NamedTuple):
    """Predictions for rows of cells, of one seed or, with a leading axis S, of several.

    Attributes:
        logits: [B, U, C] float32, of the system's head.
        state: after the last cell.
        weights: [B, U, M (query), M (key)] float32, the attention; None if it was not requested.
    """

    logits: Array
    state: Any
    weights: Array | None


def step(
    system: nn.Module, params: Any, inputs: Inputs, state: Any = None, attention: bool = False
) -> Step:
    """Predicts every cell with the parameters of one seed, by default from the initial state."""
    variables = {"params": params}
    if not attention:
        outputs, state = system.apply(variables, inputs, state)
        return Step(outputs[system.head], state, None)
    (outputs, state), sown = system.apply(variables, inputs, state, mutable="intermediates")
    return Step(outputs[system.head], state, sown_weights(sown))


@in_standard_numbers
def step_seeds(
    system: nn.Module,
    params: Any,
    inputs: Inputs,
    states: Any = None,
    attention: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Step:
    """Predicts every cell with each of S seeds; see `step`.

    The seeds run one after another, since batched matrix products are slower on CPUs. S is the
    first axis of parameters and states; without states, none are returned. `options` are those of
    the compiler.
    """
    compiled = _compiled(tuple(sorted((options or {}).items())))
    return compiled(system, params, inputs, states, attention)


@functools.lru_cache(8)
def _compiled(options: tuple[tuple[str, Any], ...]) -> Callable[..., Step]:
    return jax.jit(_step_seeds, static_argnums=(0, 4), compiler_options=dict(options) or None)


def _step_seeds(
    system: nn.Module, params: Any, inputs: Inputs, states: Any, attention: bool
) -> Step:
    def step_seed(seed: tuple[Any, Any]) -> Step:
        params, state = seed
        after = step(system, params, inputs, state, attention)
        return after if states is not None else after._replace(state=None)

    return jax.lax.map(step_seed, (params, states))


def sown_weights(collections: Mapping[str, Any]) -> Array:
    """Returns the attention weights [B, U, M, M] that a network sowed."""
    flat = traverse_util.flatten_dict(dict(collections["intermediates"]))
    ((weights,),) = [value for path, value in flat.items() if path[-1] == "weights"]
    return weights
