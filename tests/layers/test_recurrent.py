"""LSTMs and GRUs against references, and what they carry from utterance to utterance."""

import functools

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from mman_jax.layers.recurrent import GRU, LSTM, FramesLSTM, lstm_scan
from tests.layers import references

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


def outputs_and_gradients(function, params, inputs, state, weights, reset=None, mask=None):
    """Outputs, and gradients of their weighted sum by parameters, inputs and the initial state."""

    def total(params, inputs, state):
        outputs = function(params, inputs, state, reset, mask)
        products = jax.tree.map(lambda w, x: jnp.sum(w * x), weights, outputs)
        return sum(jax.tree.leaves(products)), outputs

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


def plain_scan(params, inputs, state, reset, mask):
    """The equations one utterance after the other, for jax to differentiate."""

    def step(carry, x):
        inputs, reset, mask = x
        hidden, cell = (jnp.where(reset[:, None], 0.0, s) for s in carry)
        gates = inputs @ params["kernel_input"] + params["bias_input"]
        gates += hidden @ params["kernel_hidden"] + params["bias_hidden"]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_hidden = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
        carry = tuple(
            jnp.where(mask[:, None], new, old)
            for new, old in ((new_hidden, hidden), (new_cell, cell))
        )
        return carry, carry[0]

    last, hidden = jax.lax.scan(step, state, (inputs.swapaxes(0, 1), reset.T, mask.T))
    return hidden.swapaxes(0, 1), last


# On CPUs, the rows of a product are taken 16 at a time: one block, a full one, the first of a next.
@pytest.mark.parametrize(("rows", "masked"), [(3, False), (16, True), (17, False), (33, True)])
def test_values_equal_numpy_and_gradients_a_plain_scan(rows, masked):
    params, inputs, state, weights = draw(rows)
    reset, mask = draw_resets(rows), draw_mask(rows) if masked else None
    actual = actual_of(params, inputs, state, weights, reset, mask)
    seen = np.ones_like(reset) if mask is None else mask
    assert_close(actual, expected_of(plain_scan, params, inputs, state, weights, reset, seen))
    assert_close(actual[0], references.lstm(params, inputs, state, reset, seen), 1e-5)


def test_gradients_of_hidden_and_cell_states_equal_finite_differences():
    rows, utterances, hidden = 2, 3, 4
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        gates = rng.normal(size=(utterances, rows, 4 * hidden))
        kernel = rng.normal(size=(hidden, 4 * hidden))
        keep = np.float64([[1, 1], [1, 0], [1, 1]])[..., None]
        mask = np.array([[1, 0], [0, 1], [1, 1]], bool)[..., None]
        state = (rng.normal(size=(rows, hidden)), rng.normal(size=(rows, hidden)))

        def scan(gates, kernel, state):
            return lstm_scan(gates, kernel, keep, mask, state, True)

        jax.test_util.check_grads(scan, (gates, kernel, state), order=1, modes=["rev"], rtol=1e-6)


def test_parameter_names_shapes_and_draws():
    reset = jnp.zeros((1, 1), bool)
    init = jax.jit(LSTM(HIDDEN).init)
    params = init(jax.random.key(0), jnp.zeros((1, 1, FEATURES)), reset)["params"]
    assert jax.tree.map(jnp.shape, params) == SHAPES
    for name in ("bias_input", "bias_hidden"):
        np.testing.assert_array_equal(params[name], 0)
    for name in ("kernel_input", "kernel_hidden"):
        values = np.ravel(params[name]) * HIDDEN**0.5
        assert np.abs(values).max() <= 1
        assert len(np.unique(values)) == len(values)
        extremes = [values.min(), values.mean(), values.max()]
        np.testing.assert_allclose(extremes, [-1, 0, 1], atol=0.15)


def test_everything_out_is_float32():
    params, inputs, _, weights = draw(3)
    reset, mask = draw_resets(3), draw_mask(3)
    state = (np.zeros((3, HIDDEN), np.float32),) * 2
    out = actual_of(params, inputs, state, weights, reset, mask)
    chex.assert_type(jax.tree.leaves((out, layer(params, inputs))), jnp.float32)


def test_seeds_side_by_side_equal_one_by_one():
    cases = [draw(17, seed=seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *cases)
    reset = draw_resets(17)

    def one(*case):
        return actual_of(*case, reset)

    together = jax.jit(jax.vmap(one))(*stacked)
    for seed, case in enumerate(cases):
        alone = one(*case)
        assert_close(jax.tree.map(lambda x, s=seed: x[s], together), alone)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reset": np.zeros((3, UTTERANCES + 1), bool)},
        {"mask": np.zeros((2, UTTERANCES), bool)},
        {"state": (np.zeros((3, HIDDEN), np.float32), np.zeros((2, HIDDEN), np.float32))},
        {"state": (np.zeros((3, HIDDEN + 1), np.float32),) * 2},
    ],
)
def test_shapes_that_disagree_are_refused(wrong):
    params, inputs, _, _ = draw(3)
    with pytest.raises(AssertionError):
        layer(params, inputs, **wrong)


def test_the_states_are_those_of_shorter_conversations():
    params, inputs, state, _ = draw(3)
    reset = draw_resets(3)
    (hidden, cell), last = LSTM(HIDDEN).apply(
        {"params": params}, inputs, reset, None, state, cells=True
    )
    np.testing.assert_array_equal(hidden, layer(params, inputs, state, reset)[0])
    for u in (1, 3):
        _, (_, expected) = layer(params, inputs[:, :u], state, reset[:, :u])
        np.testing.assert_allclose(cell[:, u - 1], expected, atol=1e-6)
    np.testing.assert_array_equal(cell[:, -1], last[1])


def test_a_decoder_reads_its_input_once_and_then_itself():
    params, _, _, _ = draw(2)
    square = params | {"kernel_input": params["kernel_hidden"][::-1]}
    x = draw(2)[3][0]
    reset = np.zeros((2, UTTERANCES), bool)
    reset[:, 0], reset[1, 3] = True, True
    found, _ = LSTM(HIDDEN, feeds_back=True).apply({"params": square}, x, reset)
    state = None
    for u in range(UTTERANCES):
        given = x[:, u] if state is None else np.where(reset[:, u, None], x[:, u], state[0])
        step, state = layer(square, given[:, None], state, reset[:, u : u + 1])
        np.testing.assert_allclose(found[:, u], step[:, 0], atol=1e-6)


def test_the_frames_of_each_cell_are_a_conversation_of_their_own():
    params, inputs, _, _ = draw(2, 3)
    frames = np.stack([inputs, 2 * inputs[::-1], -inputs], axis=2)  # [B, U, F, D]
    there = np.arange(3) < np.array([[3, 1, 2], [0, 2, 3]])[..., None]
    reset = np.zeros(there.shape, bool)
    _, (hidden, _) = FramesLSTM(HIDDEN).apply({"params": params}, frames, reset, there)
    for b in range(2):
        for u in range(3):
            count = there[b, u].sum()
            alone, _ = layer(params, frames[b, None, u, :count]) if count else (np.zeros(1), None)
            expected = alone[0, -1] if count else np.zeros(HIDDEN)
            np.testing.assert_allclose(hidden[b, u], expected, atol=1e-6)


def test_a_masked_row_hands_its_state_on_bit_for_bit():
    params, inputs, state, _ = draw(3)
    nobody = np.zeros(inputs.shape[:2], bool)
    hidden, last = run(params, inputs, state, nobody, nobody)
    chex.assert_trees_all_equal(last, state)
    np.testing.assert_array_equal(hidden, np.broadcast_to(state[0][:, None], hidden.shape))


RESET = np.array([[True, False, False, True], [False, False, False, False]])
MASK = np.array([[True, False, True, True], [True, True, True, False]])


def expected(params, inputs, state):
    """In loops, by the equations of PyTorch's."""
    params = {name: np.float64(x) for name, x in params.items()}
    found = np.zeros((*inputs.shape[:2], state.shape[1]))
    last = np.array(state, np.float64)
    for b, u in np.ndindex(*inputs.shape[:2]):
        hidden = np.zeros_like(last[b]) if RESET[b, u] else last[b]
        if MASK[b, u]:
            x = np.split(inputs[b, u] @ params["kernel_input"] + params["bias_input"], 3)
            h = np.split(hidden @ params["kernel_hidden"] + params["bias_hidden"], 3)
            r, z = (references.sigmoid(x[gate] + h[gate]) for gate in (0, 1))
            hidden = (1 - z) * np.tanh(x[2] + r * h[2]) + z * hidden
        found[b, u] = last[b] = hidden
    return found, last


def test_a_gru_equals_its_equations():
    random = np.random.default_rng(0)
    inputs, state = (random.normal(size=s).astype("f4") for s in ((2, 4, 3), (2, 5)))
    shapes = jax.eval_shape(GRU(5).init, jax.random.key(0), inputs, RESET)["params"]
    assert shapes["kernel_hidden"].shape == (5, 15)
    params = references.randomise(shapes)
    found = GRU(5).apply({"params": params}, inputs, RESET, MASK, state)
    for one, other in zip(found, expected(params, inputs, state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
