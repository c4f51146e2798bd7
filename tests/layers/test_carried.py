"""What an LSTM carries from utterance to utterance: resets, masks, halves, single steps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.layers.recurrent import LSTM, FramesLSTM
from tests.layers.small_lstm import (
    HIDDEN,
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

# What comes out of it.


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
