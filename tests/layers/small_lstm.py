"""A small LSTM for tests of it: its draws, its run, its gradients."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.layers.recurrent import LSTM

UTTERANCES, FEATURES, HIDDEN = 6, 3, 5
SHAPES = {
    "kernel_input": (FEATURES, 4 * HIDDEN),
    "kernel_hidden": (HIDDEN, 4 * HIDDEN),
    "bias_input": (4 * HIDDEN,),
    "bias_hidden": (4 * HIDDEN,),
}


def draw(rows, utterances=UTTERANCES, seed=0):
    """Parameters, inputs, the state before, and a weight for every output."""
    rng = np.random.default_rng(seed)
    state = (rows, HIDDEN)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return (
        {name: 0.5 * normal(*shape) for name, shape in SHAPES.items()},
        normal(rows, utterances, FEATURES),
        (normal(*state), normal(*state)),
        (normal(rows, utterances, HIDDEN), (normal(*state), normal(*state))),
    )


def draw_resets(rows, utterances=UTTERANCES, seed=1):
    return np.random.default_rng(seed).random((rows, utterances)) < 0.3


def draw_mask(rows, utterances=UTTERANCES, seed=2):
    return np.random.default_rng(seed).random((rows, utterances)) < 0.6


def layer(params, inputs, state=None, reset=None, mask=None):
    if reset is None:
        reset = np.zeros(inputs.shape[:2], bool)
    return LSTM(params["kernel_hidden"].shape[0]).apply(
        {"params": params}, inputs, reset, mask, state
    )


run = jax.jit(layer)


def scalar(function, weights, reset=None, mask=None):
    """A sum over all outputs, each with its own weight, so that no gradient hides."""

    def total(params, inputs, state):
        outputs = function(params, inputs, state, reset, mask)
        products = jax.tree.map(lambda w, x: jnp.sum(w * x), weights, outputs)
        return sum(jax.tree.leaves(products)), outputs

    return total


def outputs_and_gradients(function, params, inputs, state, weights, reset=None, mask=None):
    """Outputs, and the gradients with respect to parameters, inputs and the state before."""
    total = scalar(function, weights, reset, mask)
    gradients, outputs = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(params, inputs, state)
    return outputs, gradients


actual_of = jax.jit(functools.partial(outputs_and_gradients, layer))
# References need no speed: most of their time would go into optimising them.
expected_of = jax.jit(
    outputs_and_gradients,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0},
)


def assert_close(actual, expected, tolerance=2e-5):
    chex.assert_trees_all_close(actual, expected, rtol=tolerance, atol=tolerance)
