import jax
import numpy as np

from configs import mman
from mman_jax.evaluation import attention
from mman_jax.systems import build
from mman_jax.types import Inputs
from tests import tiny


def test_weights_are_those_of_the_module_in_the_tower_s_order():
    network, random = build(tiny.small("clstm_mma").network, ["speech", "text"], 4), np.random
    features = {m: random.default_rng(d).normal(size=(2, 5, d)).astype(np.float32)
                for m, d in (("speech", 4), ("text", 3))}  # fmt: skip
    params = tiny.params(network, {"speech": 4, "text": 3}, 2)
    inputs = Inputs.unpadded(features, np.zeros((2, 5), bool))
    names, weights = attention.attention_weights(network, params, inputs)
    assert names == ("speech", "text")
    assert weights.shape == (2, 2, 5, 2, 2)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    # By hand: seed 1's weight of speech's query for text.
    own = jax.tree.map(lambda x: np.asarray(x[1]), params["towers_mma"]["attention"])
    standard = {m: features[m] @ own[f"standardise_{m}"]["kernel"] + own[f"standardise_{m}"]["bias"]
                for m in names}  # fmt: skip
    query = standard["speech"] @ own["query_speech"]["kernel"]
    scores = [(query * (standard[m] @ own[f"key_{m}"]["kernel"])).sum(-1) for m in names]
    expected = jax.nn.softmax(np.stack(scores, -1) / np.sqrt(query.shape[-1]))[..., 1]
    np.testing.assert_allclose(weights[1, ..., 0, 1], expected, rtol=1e-4, atol=1e-6)


def test_without_an_attention_tower_there_are_none():
    network = build(mman.get_config("clstm_speech").network, ["speech"], 4)
    assert attention.attention_weights(network, {}, None) is None


def test_means_by_class_by_hand():
    weights = np.zeros((2, 1, 3, 1, 1))
    weights[0, 0, :, 0, 0], weights[1, 0, :, 0, 0] = [1, 2, 30], [3, 4, 50]
    found = attention.mean_weights(weights, np.array([[0, 1, -1]]), 3)
    assert found[:, 0, 0].tolist() == [2.5, 2.0, 3.0, 0.0]
