import functools

import jax
import numpy as np
import pytest

from configs import clstm_lf, mman
from mman_jax.inference import answerer
from mman_jax.systems import build
from mman_jax.types import Inputs
from tests import tiny

DIMS = {"speech": 5, "text": 3}


@pytest.mark.parametrize("system", [mman, clstm_lf])
def test_turn_by_turn_equals_the_whole_conversation(system):
    config = tiny.shrink(system.get_config())
    network = build(config.network, list(DIMS), 4)
    random = np.random.default_rng(0)
    whole = {m: random.normal(size=(1, 6, d)).astype(np.float32) for m, d in DIMS.items()}
    reset = np.arange(6)[None] == 0
    params = tiny.params(network, DIMS)
    inputs = Inputs.unpadded(whole, reset)
    logits, _ = jax.jit(network.apply)({"params": params}, inputs)
    expected = jax.nn.softmax(logits[network.head][0])

    first = {m: x[0, 0] for m, x in whole.items()}
    state = answerer.init_state(network, params, first)
    assert all(not np.any(x) for x in jax.tree.leaves(state))
    step = jax.jit(functools.partial(answerer.step, network))
    answers, states = [], []
    for turn in range(6):
        state, probabilities = step(params, state, {m: x[0, turn] for m, x in whole.items()})
        answers.append(probabilities)
        states.append(jax.tree.map(np.shape, state))
    np.testing.assert_allclose(np.stack(answers), expected, atol=1e-5)
    assert states[0] == states[-1]  # what is carried does not grow
    # Context matters: the second turn alone is answered otherwise.
    alone = answerer.init_state(network, params, first)
    _, without = step(params, alone, {m: x[0, 1] for m, x in whole.items()})
    assert not np.allclose(without, answers[1], atol=1e-5)
