import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import bc_lstm
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.layers.recurrent import LSTM
from mman_jax.systems.bc_lstm import Level
from mman_jax.types import Inputs
from tests import tiny
from tests.inference import trained
from tests.systems import golden

SIZES = {"hidden": 5, "dense": 4, "fusion_dense": 6}


def test_golden_numbers_of_one_level():
    level = Level(2, 4, 5, "tanh", 0.0, 0.0)
    x, reset = golden.inputs(1, 3, 3), np.array([[True, False, False]])
    shapes = jax.eval_shape(level.init, jax.random.key(0), x, reset)["params"]
    assert golden.count(shapes) == 345
    params = jax.tree_util.tree_map_with_path(lambda k, v: golden.filled(k, v.shape), shapes)
    logits, hidden = level.apply({"params": params}, x, reset)
    expected = [[0.19572, 0.02624], [0.17075, 0.01775], [0.173, 0.05404]]
    np.testing.assert_allclose(logits[0], expected, atol=2e-4)
    expected = [0.43842, 0.30953, -0.12381, -0.4256, -0.3511]
    np.testing.assert_allclose(hidden[0, 0], expected, atol=2e-4)


def test_a_reversed_scan_is_the_scan_of_the_reversed_conversation():
    x = np.random.default_rng(0).normal(size=(1, 4, 3)).astype("f4")
    reset = np.array([[True, False, False, False]])
    params = LSTM(5).init(jax.random.key(1), x, reset)
    forward, _ = LSTM(5).apply(params, x[:, ::-1], reset)
    backward, _ = LSTM(5, reverse=True).apply(params, x, reset)
    np.testing.assert_allclose(backward, forward[:, ::-1], atol=1e-6)


def test_logits_depend_on_later_utterances_and_streaming_is_refused():
    def change(config):
        config.network.update(SIZES)
        return config

    model = trained.model(bc_lstm, change=change, seeds=1)
    system, params = model.build(), model.seed_params(0)
    assert not system.causal
    features = {m: golden.inputs(1, 6, d) for m, d in trained.DIMS.items()}

    def first(x):
        inputs = Inputs.unpadded(features | {"text": x}, np.zeros((1, 6), bool))
        return system.apply({"params": params}, inputs)[0][system.head][0, 0].sum()

    assert jnp.abs(jax.grad(first)(features["text"])[0, -1]).max() > 0
    for refuse in (lambda: Answerer([model]), lambda: exported.step([model])):
        with pytest.raises(InputError, match="answers turn by turn: BcLSTM"):
            refuse()


def test_the_second_level_reads_frozen_activations_of_the_first():
    config = tiny.shrink(bc_lstm.get_config())
    config.network.update(SIZES)
    trainer, _ = tiny.trainer(config)
    assert trainer.stage("fusion").method == "fuse"  # they are computed once
