import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import bc_lstm
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.layers.recurrent import LSTM
from mman_jax.systems import build
from mman_jax.systems.bc_lstm import Level
from mman_jax.types import Inputs
from tests import tiny
from tests.inference import trained

DIMS = {"speech": 4, "text": 3}


def small(**changes):
    settings = {"system": "bc_lstm", "hidden": 5, "dense": 4, "fusion_dense": 6} | changes
    return build(settings, list(DIMS), 3)


def rows(seed=0, utterances=6):
    random = np.random.default_rng(seed)
    features = {m: random.normal(size=(1, utterances, d)).astype("f4") for m, d in DIMS.items()}
    return features, np.zeros((1, utterances), bool)


def filled(path, shape):
    """Weights by a fixed rule: [in, out] here is the transpose of [out, in] there."""
    if len(shape) == 1:
        return 0.1 * np.cos(np.arange(shape[0]))
    inputs, outputs = shape
    out, into = np.meshgrid(np.arange(outputs), np.arange(inputs))
    return 2 * np.sin(1 + out + 2 * into) / np.sqrt(inputs)


def test_the_golden_numbers_of_one_level():
    level = Level(2, 4, 5, "tanh", 0.0, 0.0)
    t, d = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
    x = np.cos(1 + t + 0.7 * d)[None].astype("f4")
    reset = np.array([[True, False, False]])
    params = level.init(jax.random.key(0), x, reset)["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == 345
    params = jax.tree_util.tree_map_with_path(lambda k, v: filled(k, v.shape), params)
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


def test_it_sees_later_utterances_and_says_so():
    system, (features, reset) = small(), rows()
    params = jax.jit(system.init)(jax.random.key(0), Inputs.unpadded(features, reset))

    def first(x):
        inputs = Inputs.unpadded(features | {"text": x}, reset)
        return system.apply(params, inputs)[0][system.head][0, 0].sum()

    assert jnp.abs(jax.grad(first)(features["text"])[0, -1]).max() > 0
    assert not system.causal


def test_what_answers_turn_by_turn_refuses_it():
    def change(config):
        config.network.update(hidden=5, dense=4, fusion_dense=6)
        return config

    model = trained.model(bc_lstm, change=change)
    for refuse in (lambda: Answerer([model]), lambda: exported.step([model])):
        with pytest.raises(InputError, match="answers turn by turn: BcLSTM"):
            refuse()


def test_level_2_reads_frozen_activations_of_level_1():
    config = tiny.shrink(bc_lstm.get_config())
    config.network.update(hidden=6, dense=4, fusion_dense=5)
    trainer, _ = tiny.trainer(config)
    assert trainer.stage("fusion").method == "fuse"  # they are computed once


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hiden": 3}, "network.hiden: unknown; expected 'hidden'"),
        ({"hidden": 1.5}, "network.hidden: 1.5, a float; expected a whole number"),
        ({"dropout": "much"}, "network.dropout: 'much', a str; expected a number"),
        ({"dropout": float("nan")}, "network.dropout: nan; expected a finite number"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        small(**settings)
