import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.layers.attention import MultiModalAttention, band, keep
from tests.layers import references

# Not in alphabetical order, which is the order that jit gives a mapping's keys.
DIMS = {"speech": 3, "visual": 5, "text": 1, "gaze": 2}
MODEL, KEY, VALUE = 4, 3, 6


def first(modalities):
    return dict(itertools.islice(DIMS.items(), modalities))


def draw(dims, rows=2, utterances=3, seed=0):
    rng = np.random.default_rng(seed)
    return {m: rng.normal(size=(rows, utterances, d)).astype(np.float32) for m, d in dims.items()}


def attention(**changes):
    return MultiModalAttention(
        **({"model": MODEL, "key": KEY, "value": VALUE, "skip": "concatenate"} | changes)
    )


def shapes_of(module, features):
    return jax.eval_shape(module.init, jax.random.key(0), features)["params"]


def module_and_parameters(features, **changes):
    module = attention(**changes)
    return module, references.randomise(shapes_of(module, features))


@pytest.mark.parametrize(
    ("modalities", "shared", "skip"),
    [(1, True, "add"), (4, True, "concatenate"), (4, False, "add")],
)
def test_output_and_weights_equal_the_equations(modalities, shared, skip):
    features = draw(first(modalities))
    value = MODEL if skip == "add" else VALUE
    module, params = module_and_parameters(features, value=value, shared=shared, skip=skip)
    output, sown = module.apply({"params": params}, features, mutable="intermediates")
    expected, expected_weights = references.attention(params, features, shared, skip)
    width = value if skip == "add" else value + MODEL
    assert output.shape == (2, 3, modalities * width)
    assert output.dtype == jnp.float32
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
    (weights,) = sown["intermediates"]["weights"]
    assert weights.shape == (2, 3, modalities, modalities)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_weights_stay_finite_when_scores_are_huge():
    features = {m: 1e4 * x for m, x in draw(first(3)).items()}
    module, params = module_and_parameters(features)
    output, sown = module.apply({"params": params}, features, mutable="intermediates")
    chex.assert_tree_all_finite((output, sown))
    np.testing.assert_allclose(sown["intermediates"]["weights"][0].sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip": "none"}, "skip is 'none'; expected 'add' or 'concatenate'"),
        ({"skip": "add"}, f"an added skip needs value = model, not {VALUE} and {MODEL}"),
    ],
)
def test_a_wrong_skip_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(attention(**changes), draw(first(2)))


@pytest.mark.parametrize("wrong", [(2, 4, 5), (1, 3, 5), (3, 5)])
def test_modalities_that_disagree_in_rows_or_utterances_are_refused(wrong):
    features = draw(first(2)) | {"visual": np.zeros(wrong, np.float32)}
    with pytest.raises(AssertionError):
        attention().init(jax.random.key(0), features)


@pytest.mark.parametrize(("shared", "skip"), [(True, "add"), (False, "concatenate")])
def test_the_others_weights_are_those_of_a_softmax_without_the_missing_one(shared, skip):
    features = draw({"a": 3, "b": 4, "c": 2}, 2, 5)
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


RESET = np.array([[False, False, True, False]])


def test_a_row_that_goes_on_sees_what_was_kept_of_its_own_conversation():
    # Three cells are kept, two of them of this conversation; a cell sees three.
    found = band(RESET, window=3, count=np.array([2.0]))
    assert found.seen[0].astype(int).tolist() == [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    assert found.position[0].tolist() == [2, 3, 0, 1]
    assert found.count.tolist() == [2]


def test_a_conversation_longer_than_the_band_counts_on():
    found = band(np.zeros((1, 1), bool), window=2, count=np.array([7.0]))
    assert found.seen[0].astype(int).tolist() == [[0, 1, 1]]
    assert (found.position.tolist(), found.count.tolist()) == ([[7]], [8])


def test_ahead_it_sees_as_many_later_cells():
    found = band(RESET, window=2, ahead=True)
    assert found.seen[0].astype(int).tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]


def test_the_last_cells_are_kept_also_of_a_row_shorter_than_the_band():
    cells = np.arange(1, 5, dtype="f4").reshape(1, 4, 1)
    assert keep(None, cells[:, :2], 3)[0, :, 0].tolist() == [0, 1, 2]
    assert keep(cells[:, :3], cells[:, 3:], 3)[0, :, 0].tolist() == [2, 3, 4]
