import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from mman_jax.layers.frames import FramesLSTM
from mman_jax.layers.lstm import LSTM, lstm_scan
from tests.layers import references

UTTERANCES, FEATURES, HIDDEN = 6, 3, 5
SHAPES = {
    "kernel_input": (FEATURES, 4 * HIDDEN),
    "kernel_hidden": (HIDDEN, 4 * HIDDEN),
    "bias_input": (4 * HIDDEN,),
    "bias_hidden": (4 * HIDDEN,),
}
# The rows of a product are taken 16 at a time on CPUs: one block, a full one, the first of a next.
ROWS = (3, 16, 17, 33)


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
    ("rows", "masked"), [(3, False), (16, True), (17, False), (17, True), (33, True)]
)
def test_values_and_gradients_equal_an_ordinary_scan(rows, masked):
    params, inputs, state, weights = draw(rows)
    reset, mask = draw_resets(rows), draw_mask(rows) if masked else None
    actual = actual_of(params, inputs, state, weights, reset, mask)
    everything = np.ones_like(reset)
    expected = expected_of(
        plain_scan, params, inputs, state, weights, reset, mask if masked else everything
    )
    assert_close(actual, expected)


@pytest.mark.parametrize(("rows", "masked"), [(3, True), (17, False)])
def test_values_and_gradients_equal_flax(rows, masked):
    params, inputs, state, weights = draw(rows)
    reset, mask = draw_resets(rows), draw_mask(rows) if masked else None
    actual = actual_of(params, inputs, state, weights, reset, mask)
    everything = np.ones_like(reset)
    expected = expected_of(
        flax_cell, params, inputs, state, weights, reset, mask if masked else everything
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


def test_the_states_are_those_of_shorter_conversations():
    params, inputs, state, _ = draw(3)
    reset = draw_resets(3)
    (hidden, cell), last = LSTM(HIDDEN).apply(
        {"params": params}, inputs, reset, None, state, method="states"
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


# Resets.


@pytest.mark.parametrize("masked", [False, True])
def test_two_conversations_in_a_row_equal_the_two_alone(masked):
    params, inputs, _, weights = draw(3)
    state = (np.zeros((3, HIDDEN), np.float32),) * 2
    weights = (weights[0], jax.tree.map(np.zeros_like, weights[1]))
    reset = np.zeros((3, UTTERANCES), bool)
    reset[:, [0, 3]] = True
    mask = np.ones((3, UTTERANCES), bool) if masked else None

    def over(part):
        outputs, gradients = actual_of(
            params,
            inputs[:, part],
            state,
            (weights[0][:, part], weights[1]),
            reset[:, part],
            mask[:, part] if masked else None,
        )
        return outputs[0], gradients[0], gradients[1]

    hidden, to_params, to_inputs = over(slice(0, 6))
    first, second = over(slice(0, 3)), over(slice(3, 6))
    assert_close(hidden, np.concatenate([first[0], second[0]], axis=1), 1e-6)
    assert_close(to_inputs, np.concatenate([first[2], second[2]], axis=1), 1e-6)
    assert_close(to_params, jax.tree.map(np.add, first[1], second[1]))


@pytest.mark.parametrize("masked", [False, True])
def test_an_output_has_zero_gradient_to_all_but_its_own_past(masked):
    rows, utterances = 17, 5
    params, inputs, state, _ = draw(rows, utterances)
    reset = np.zeros((rows, utterances), bool)
    reset[:, 2] = True
    mask = np.ones((rows, utterances), bool) if masked else None

    @jax.jit
    @jax.jacrev
    def jacobian(inputs_and_state):
        outputs, _ = layer(params, *inputs_and_state, reset, mask)
        return outputs[16].sum(-1)  # the first row of the second block

    to_inputs, to_state = jacobian((inputs, state))
    reaches = np.abs(to_inputs).max(-1) > 0  # [U (output), B, U (input)]
    assert not reaches[:, :16].any()
    conversation = np.cumsum(reset[0])
    expected = np.tri(utterances, dtype=bool) & (conversation[:, None] == conversation)
    np.testing.assert_array_equal(reaches[:, 16], expected)
    for part in to_state:
        np.testing.assert_array_equal(np.abs(part[:, 16]).max(-1) > 0, conversation == 0)


# Masks.


def test_masked_utterances_are_as_good_as_removed():
    rows, utterances, kept = 3, UTTERANCES, 3
    params, inputs, state, weights = draw(rows)
    rng = np.random.default_rng(3)
    present = np.sort([rng.permutation(utterances)[:kept] for _ in range(rows)], axis=1)
    mask = np.zeros((rows, utterances), bool)
    np.put_along_axis(mask, present, True, axis=1)
    outputs_weights = weights[0] * mask[..., None]

    def pick(x):
        return np.take_along_axis(x, present[..., None], axis=1)

    reset = np.zeros((rows, utterances), bool)
    (hidden, last), gradients = actual_of(
        params, inputs, state, (outputs_weights, weights[1]), reset, mask
    )
    (short, short_last), expected = actual_of(
        params, pick(inputs), state, (pick(weights[0]), weights[1]), reset[:, :kept]
    )
    assert_close((pick(np.asarray(hidden)), last), (short, short_last), 1e-6)
    assert_close((gradients[0], pick(np.asarray(gradients[1])), gradients[2]), expected)
    assert not np.any(np.asarray(gradients[1])[~mask])
    # The output of a masked utterance repeats the one before it, or the state before the first.
    before = np.concatenate([state[0][:, None], hidden[:, :-1]], axis=1)
    np.testing.assert_array_equal(np.asarray(hidden)[~mask], before[~mask])


def test_a_masked_row_hands_its_state_on_bit_for_bit():
    params, inputs, state, _ = draw(3)
    nobody = np.zeros(inputs.shape[:2], bool)
    hidden, last = run(params, inputs, state, nobody, nobody)
    chex.assert_trees_all_equal(last, state)
    np.testing.assert_array_equal(hidden, np.broadcast_to(state[0][:, None], hidden.shape))


# State in and out.


def test_two_halves_equal_the_whole():
    params, inputs, state, weights = draw(3)
    reset, mask = draw_resets(3), draw_mask(3)

    def halves(params, inputs, state, reset, mask):
        first, state = layer(params, inputs[:, :2], state, reset[:, :2], mask[:, :2])
        second, state = layer(params, inputs[:, 2:], state, reset[:, 2:], mask[:, 2:])
        return jnp.concatenate([first, second], axis=1), state

    actual = expected_of(halves, params, inputs, state, weights, reset, mask)
    assert_close(actual, actual_of(params, inputs, state, weights, reset, mask))


def test_one_utterance_at_a_time_equals_the_whole():
    params, inputs, _, _ = draw(3)
    reset = draw_resets(3)
    reset[:, 0] = True
    whole, last = run(params, inputs, None, reset)
    state, outputs = None, []
    for u in range(UTTERANCES):
        now, state = run(params, inputs[:, u : u + 1], state, reset[:, u : u + 1])
        outputs.append(now)
    assert_close((np.concatenate(outputs, axis=1), state), (whole, last), 1e-6)


def test_no_state_is_the_zero_state():
    params, inputs, state, _ = draw(3)
    zeros = jax.tree.map(np.zeros_like, state)
    chex.assert_trees_all_equal(run(params, inputs), run(params, inputs, zeros))


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
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    def test_lstm(self):
        params, inputs, state, _ = draw(3)
        reset, mask = draw_resets(3), draw_mask(3)
        actual = self.variant(layer)(params, inputs, state, reset, mask)
        assert_close(actual, references.lstm(params, inputs, state, reset, mask), 1e-5)
