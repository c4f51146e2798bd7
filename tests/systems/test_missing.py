"""A missing modality's values reach no output, whatever they are."""

import functools

import jax
import numpy as np
import pytest

from configs import clstm_ef, clstm_lf, mman
from mman_jax.inference import stream
from mman_jax.layers.attention import MultiModalAttention
from mman_jax.systems import build
from mman_jax.systems.key import Key
from tests import tiny

DIMS = {"a": 3, "b": 4, "c": 2}
SYSTEMS = {"mman": lambda config: config, "lf": clstm_lf.system, "ef": clstm_ef.system}


def drawn(seed=0, rows=2, utterances=5):
    random = np.random.default_rng(seed)
    return {m: random.normal(size=(rows, utterances, d)).astype(np.float32)
            for m, d in DIMS.items()}  # fmt: skip


@pytest.fixture(scope="module")
def present():
    """Of a nothing in utterance 1, of b in 2, of all three in 3 of the first row."""
    there = {m: np.ones((2, 5), bool) for m in DIMS}
    there["a"][0, 1] = there["b"][0, 2] = False
    for name in DIMS:
        there[name][0, 3] = False
    return there


def network(system="mman", **changes):
    config = tiny.shrink(mman.get_config())
    config.network.update(changes)
    config = tiny.shrink(SYSTEMS[system](config.unlock()))
    built = build(config.network, list(DIMS), 3)
    params = tiny.params(built, DIMS)
    # Biases are zero at the start: then what must not pass could not be seen to pass.
    params = jax.tree.map(lambda x: x + 0.1 if x.ndim == 1 else x, params)
    return built, params


def answer(built, params, features, present, **settings):
    return _answer(Key(built), params, features, present, **settings)


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def _answer(key, params, features, present, **settings):
    reset = np.tile(np.arange(5) == 0, (2, 1))
    logits, _ = key.system.apply({"params": params}, features, reset, present=present, **settings)
    return logits


@pytest.mark.parametrize("system", SYSTEMS)
def test_missing_values_change_nothing_not_even_if_nan(system, present):
    built, params = network(system)
    features = drawn()
    other = {m: np.where(present[m][..., None], x, np.float32(np.nan)) for m, x in features.items()}
    first, second = (answer(built, params, x, present) for x in (features, other))
    for head, logits in first.items():
        np.testing.assert_array_equal(logits, second[head])
        assert np.isfinite(logits).all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_gradients_are_zero_for_missing_values_and_finite_beside_nan(system, present):
    built, params = network(system)
    broken = {m: np.where(present[m][..., None], x, np.float32(np.nan)) for m, x in drawn().items()}

    def loss(params, features):
        return sum((x**2).sum() for x in answer(built, params, features, present).values())

    by_params, by_features = jax.grad(loss, (0, 1))(params, broken)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(by_params))
    for name, gradient in by_features.items():
        assert not np.asarray(gradient)[~present[name]].any()
        assert np.asarray(gradient)[present[name]].any()


def test_where_all_are_there_masks_change_nothing(present):
    built, params = network()
    features, all_there = drawn(), {m: np.ones((2, 5), bool) for m in DIMS}
    without, with_it = (answer(built, params, features, p) for p in (None, all_there))
    for head, logits in without.items():
        np.testing.assert_allclose(with_it[head], logits, atol=1e-6)


def test_an_utterance_without_anything_passes_the_state_on(present):
    built, params = network()
    logits = answer(built, params, drawn(), present)
    for tower in ("a", "mma"):  # each tower repeats what it knew
        np.testing.assert_array_equal(logits[tower][0, 3], logits[tower][0, 2])
    alone = answer(built, params, drawn(), None)
    assert not np.allclose(alone["mma"][0, 3], alone["mma"][0, 2])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("skip", ["add", "concatenate"])
def test_the_others_weights_are_those_of_a_softmax_without_the_missing_one(shared, skip):
    features = drawn()
    module = MultiModalAttention(4, 3, 4, shared=shared, skip=skip)
    params = module.init(jax.random.key(1), features)
    whole = {"b": np.ones((2, 5), bool)}
    lacking = {"b": np.zeros((2, 5), bool)}

    def weights(there):
        _, kept = module.apply(params, features, there, mutable="intermediates")
        return np.asarray(kept["intermediates"]["weights"][0])

    full, fewer = weights(whole), weights(lacking)
    assert not fewer[..., 1].any()
    for query in (0, 2):
        kept = full[:, :, query][..., [0, 2]]
        expected = kept / kept.sum(-1, keepdims=True)
        np.testing.assert_allclose(fewer[:, :, query][..., [0, 2]], expected, rtol=1e-5)
    np.testing.assert_allclose(fewer[:, :, 1][..., [0, 2]], 0.5)  # its own query asks nothing


def test_modality_dropout_acts_in_training_alone():
    built, params = network(modality_dropout=0.5)
    plain, _ = network()
    features = drawn()
    first, second = (
        answer(built, params, features, None, train=True, rngs={"dropout": jax.random.key(k)})
        for k in (0, 1)
    )
    assert not np.allclose(first["mma"], second["mma"])
    for head, logits in answer(plain, params, features, None).items():
        np.testing.assert_array_equal(answer(built, params, features, None)[head], logits)


def test_dropped_modalities_are_as_good_as_missing(present):
    built, params = network(modality_dropout=0.5)
    broken = {m: np.where(present[m][..., None], x, np.float32(np.nan)) for m, x in drawn().items()}
    key = {"dropout": jax.random.key(3)}
    first, second = (
        answer(built, params, x, present, train=True, rngs=key) for x in (drawn(), broken)
    )
    for head, logits in first.items():
        np.testing.assert_array_equal(logits, second[head])


def test_a_stream_answers_as_the_rows_do(present):
    built, params = network()
    features = drawn()
    expected = jax.nn.softmax(answer(built, params, features, present)["fusion"])
    state = stream.init_state(built, params, {m: x[0, 0] for m, x in features.items()})
    step = jax.jit(functools.partial(stream.step, built))
    for u in range(5):
        now = {m: x[0, u] for m, x in features.items()}
        there = {m: p[0, u] for m, p in present.items()}
        state, found = step(params, state, now, there)
        np.testing.assert_allclose(found, expected[0, u], atol=1e-5)
