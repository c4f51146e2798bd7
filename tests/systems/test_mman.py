import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.layers.recurrent import LSTM
from mman_jax.layers.tower import ContextualLSTM
from mman_jax.systems import build
from mman_jax.types import Inputs
from tests.layers import references

CLASSES = 3
# Not in alphabetical order, which is the order that jit gives a mapping's keys.
DIMS = {"speech": 3, "visual": 2, "text": 4}


def block(hidden=(4,), dense=5, dropout=0.0, **rest):
    return {"hidden": hidden, "dense": dense, "dropout": dropout, "input_dropout": 0.0} | rest


ATTENTION = {"model": 4, "key": 3, "value": 4}
UNIMODAL = {"default": block()}
SYSTEMS = {
    "clstm": {"unimodal": {"default": block((4, 5))}},
    "ef": {"early": block(kind="concatenation")},
    "mma": {"early": block(kind="attention", attention=ATTENTION)},
    "lf": {"unimodal": UNIMODAL, "fusion": block(kind="clstm")},
    "mman": {
        "unimodal": UNIMODAL,
        "early": block(kind="attention", attention=ATTENTION),
        "fusion": {"kind": "dense"},
    },
}

# Two conversations and padding; one conversation; a conversation of one utterance and padding.
RESET = np.zeros((3, 6), bool)
RESET[:, 0] = RESET[0, 3] = True


def draw(dims, rows=3, utterances=6, seed=0):
    rng = np.random.default_rng(seed)
    return {m: rng.normal(size=(rows, utterances, d)).astype(np.float32) for m, d in dims.items()}


@functools.cache
def make(system):
    """A network, parameters and features of the modalities."""
    dims = {m: DIMS[m] for m in (["speech"] if system == "clstm" else DIMS)}
    network = build(SYSTEMS[system], list(dims), CLASSES)
    return network, references.randomise(network.parameter_shapes(dims), scale=0.7), draw(dims)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("train", "method"))
def _apply(network, params, inputs, **options):
    return network.apply({"params": params}, inputs, **options)


def answer(network, params, features, reset, present=None, **options):
    """Outputs and state; compiled once for each network."""
    return _apply(network, params, Inputs.unpadded(features, reset, present), **options)


def assert_close(actual, expected, tolerance=1e-5):
    chex.assert_trees_all_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "dims",
    [DIMS, {"speech": 3, "gaze": 1, "visual": 2, "text": 4}, {"speech": 1}],
    ids=["three modalities", "four modalities", "one feature"],
)
@pytest.mark.parametrize("system", ["mman", "lf"])
def test_logits_equal_the_equations(system, dims):
    network, features = build(SYSTEMS[system], list(dims), CLASSES), draw(dims)
    params = references.randomise(network.parameter_shapes(dims), scale=0.7)
    logits, _ = answer(network, params, features, RESET)
    chex.assert_type(list(logits.values()), jnp.float32)
    reference = references.mman if system == "mman" else references.late_fusion
    assert_close(logits, reference(params, features, RESET), 1e-4)


@pytest.mark.parametrize(("name", "told"), [("mman", 1), ("mma", 1), ("clstm", 0)])
def test_attention_to_a_single_modality_is_told(name, told):
    assert len(build(SYSTEMS[name], ["speech"], CLASSES).notices()) == told
    if name != "clstm":  # which needs a fusion
        assert build(SYSTEMS[name], list(DIMS), CLASSES).notices() == []


def test_early_fusion_concatenates_in_the_order_of_the_modalities():
    network, params, features = make("ef")
    logits, _ = answer(network, params, features, RESET)
    joined = np.concatenate(list(features.values()), axis=-1)
    expected = references.clstm(params["towers_ef"]["clstm"], joined, RESET)
    assert_close(logits, {"ef": expected}, 1e-4)


def test_an_utterance_without_anything_passes_the_state_on():
    network, params, features = make("mman")
    present = {m: np.ones(RESET.shape, bool) for m in DIMS}
    for there in present.values():
        there[1, 3] = False
    without, _ = answer(network, params, features, RESET)
    logits, _ = answer(network, params, features, RESET, present=present)
    for tower in ("speech", "mma"):  # each tower repeats what it knew
        np.testing.assert_array_equal(logits[tower][1, 3], logits[tower][1, 2])
        assert not np.allclose(without[tower][1, 3], without[tower][1, 2])


@pytest.mark.parametrize("system", ["ef", "mma"])
def test_the_order_of_the_features_does_not_matter(system):
    network, params, features = make(system)
    backwards = dict(reversed(features.items()))
    here, there = (
        network.apply({"params": params}, Inputs.unpadded(x, RESET)) for x in (features, backwards)
    )
    chex.assert_trees_all_equal(here, there)


def test_dropping_all_features_leaves_zeros():
    plain, params, features = make("ef")
    settings = {"early": SYSTEMS["ef"]["early"] | {"input_dropout": 1.0}}
    network = build(settings, list(DIMS), CLASSES)
    dropped, _ = answer(network, params, features, RESET, train=True)
    zeros = jax.tree.map(np.zeros_like, features)
    chex.assert_trees_all_equal(dropped, answer(plain, params, zeros, RESET)[0])


def test_a_clstm_block_drops_what_its_second_lstm_and_each_dense_layer_read():
    inputs = draw({"speech": 2})["speech"]
    plain, all_dropped = (
        ContextualLSTM(classes=CLASSES, hidden=(4, 5), dense=6, dropout=rate) for rate in (0, 1)
    )
    shapes = jax.eval_shape(plain.init, jax.random.key(0), inputs, RESET)["params"]
    params = references.randomise(shapes)
    (_, last), seen = all_dropped.apply(
        {"params": params}, inputs, RESET, train=True, capture_intermediates=True
    )
    outputs = {name: seen["intermediates"][name]["__call__"][0] for name in params}
    _, expected = plain.apply({"params": params}, inputs, RESET)
    assert_close(last[0], expected[0])
    zeros = np.zeros((3, 6, 4), np.float32)
    assert_close(outputs["lstm_1"], LSTM(5).apply({"params": params["lstm_1"]}, zeros, RESET), 1e-6)
    for name in ("dense", "logits"):
        bias = params[name]["bias"]
        np.testing.assert_array_equal(outputs[name], np.broadcast_to(bias, outputs[name].shape))


def test_a_state_for_another_number_of_layers_is_refused():
    module = ContextualLSTM(classes=CLASSES, hidden=(4, 5), dense=6)
    state = [(np.zeros((1, 4), np.float32),) * 2]
    with pytest.raises(ValueError, match="zip"):
        module.init(jax.random.key(0), np.zeros((1, 1, 2), np.float32), np.ones((1, 1)), state)
