import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from mman_jax.layers.recurrent import GRU, LSTM, lstm_scan
from tests.layers import references
from tests.layers.small_lstm import (
    FEATURES,
    HIDDEN,
    SHAPES,
    UTTERANCES,
    actual_of,
    assert_close,
    draw,
    draw_mask,
    draw_resets,
    expected_of,
    layer,
    run,
)

# The rows of a product are taken 16 at a time on CPUs: one block, a full one, the first of a next.
ROWS = (3, 16, 17, 33)


# References: each written without the others, and without the layer's own tricks.


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


def flax_cell(params, inputs, state, reset, mask):
    """Flax's cell, which has one bias set, and a carry of cell and hidden state in that order."""
    mapped = {}
    bias = params["bias_input"] + params["bias_hidden"]
    for gate, name in enumerate("ifgo"):
        columns = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
        mapped[f"i{name}"] = {"kernel": params["kernel_input"][:, columns]}
        mapped[f"h{name}"] = {
            "kernel": params["kernel_hidden"][:, columns],
            "bias": bias[columns],
        }
    cell = nn.OptimizedLSTMCell(HIDDEN)

    def step(carry, x):
        inputs, reset, mask = x
        carry = jax.tree.map(lambda s: jnp.where(reset[:, None], 0.0, s), carry)
        after, _ = cell.apply({"params": mapped}, carry, inputs)
        carry = jax.tree.map(lambda a, b: jnp.where(mask[:, None], a, b), after, carry)
        return carry, carry[1]

    carry = (state[1], state[0])
    carry, hidden = jax.lax.scan(step, carry, (inputs.swapaxes(0, 1), reset.T, mask.T))
    return hidden.swapaxes(0, 1), (carry[1], carry[0])


@pytest.mark.parametrize(
    ("reference", "rows", "masked"),
    [
        *((plain_scan, *case) for case in [(3, 0), (16, 1), (17, 0), (17, 1), (33, 1)]),
        *((flax_cell, *case) for case in [(3, 1), (17, 0)]),
    ],
)
def test_values_and_gradients_equal_a_reference(reference, rows, masked):
    params, inputs, state, weights = draw(rows)
    reset, mask = draw_resets(rows), draw_mask(rows) if masked else None
    actual = actual_of(params, inputs, state, weights, reset, mask)
    everything = np.ones_like(reset)
    expected = expected_of(
        reference, params, inputs, state, weights, reset, mask if masked else everything
    )
    assert_close(actual, expected)


@pytest.mark.parametrize("rows", ROWS)
def test_values_equal_numpy(rows):
    params, inputs, state, _ = draw(rows)
    reset, everything = draw_resets(rows), np.ones((rows, UTTERANCES), bool)
    actual = run(params, inputs, state, reset)
    assert_close(actual, references.lstm(params, inputs, state, reset, everything), 1e-5)


def test_gradients_equal_finite_differences_of_numpy():
    rows, utterances, step = 2, 4, 1e-5
    reset = np.array([[0, 0, 1, 0], [0, 1, 0, 0]], bool)
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], bool)
    with jax.enable_x64(True):
        *point, weights = jax.tree.map(np.float64, draw(rows, utterances))
        _, actual = actual_of(*point, weights, reset, mask)

    def value(point):
        outputs = references.lstm(*point, reset, mask)
        return sum(jax.tree.leaves(jax.tree.map(lambda w, x: np.sum(w * x), weights, outputs)))

    leaves, structure = jax.tree.flatten(tuple(point))

    def difference(number, index):
        ends = []
        for sign in (1, -1):
            moved = [x.copy() for x in leaves]
            moved[number][index] += sign * step
            ends.append(value(structure.unflatten(moved)))
        return (ends[0] - ends[1]) / (2 * step)

    for number, gradient in enumerate(jax.tree.leaves(actual)):
        expected = np.array([difference(number, i) for i in np.ndindex(gradient.shape)])
        np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [3, 17])
def test_values_and_gradients_equal_torch(rows):
    torch = pytest.importorskip("torch", reason="PyTorch, the reference here, is not installed")
    params, inputs, state, weights = draw(rows)
    module = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    names = {
        "kernel_input": "weight_ih_l0",
        "kernel_hidden": "weight_hh_l0",
        "bias_input": "bias_ih_l0",
        "bias_hidden": "bias_hh_l0",
    }
    with torch.no_grad():
        for name, theirs in names.items():
            getattr(module, theirs).copy_(torch.from_numpy(params[name].T.copy()))
    leaves = [torch.from_numpy(x).requires_grad_() for x in (inputs, *state)]
    outputs, (hidden, cell) = module(leaves[0], (leaves[1][None], leaves[2][None]))
    expected = (outputs, (hidden[0], cell[0]))
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(expected), strict=True)
    sum((torch.from_numpy(w) * x).sum() for w, x in pairs).backward()
    their_gradients = (
        {name: getattr(module, theirs).grad.numpy().T for name, theirs in names.items()},
        leaves[0].grad.numpy(),
        (leaves[1].grad.numpy(), leaves[2].grad.numpy()),
    )
    reset = np.zeros((rows, UTTERANCES), bool)
    actual, gradients = actual_of(params, inputs, state, weights, reset)
    assert_close(actual, jax.tree.map(lambda x: x.detach().numpy(), expected))
    assert_close(gradients, their_gradients)


@pytest.mark.parametrize(("masked", "cells"), [(False, False), (True, False), (True, True)])
def test_check_grads_of_the_scan(masked, cells):
    rows, utterances, hidden = 2, 3, 4
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        gates = rng.normal(size=(utterances, rows, 4 * hidden))
        kernel = rng.normal(size=(hidden, 4 * hidden))
        keep = np.float64([[1, 1], [1, 0], [1, 1]])[..., None]
        mask = np.array([[1, 0], [0, 1], [1, 1]], bool)[..., None] if masked else None
        state = (rng.normal(size=(rows, hidden)), rng.normal(size=(rows, hidden)))

        def scan(gates, kernel, state):
            return lstm_scan(gates, kernel, keep, mask, state, cells)

        jax.test_util.check_grads(scan, (gates, kernel, state), order=1, modes=["rev"], rtol=1e-6)


# The public module.


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


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_lstm(self):
        params, inputs, state, _ = draw(3)
        reset, mask = draw_resets(3), draw_mask(3)
        actual = self.variant(layer)(params, inputs, state, reset, mask)
        assert_close(actual, references.lstm(params, inputs, state, reset, mask), 1e-5)


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
