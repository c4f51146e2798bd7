import jax
import numpy as np

from configs import mman
from mman_jax.evaluation import modalities
from mman_jax.systems import build
from mman_jax.types import Inputs
from tests import tiny


def test_weights_are_those_of_the_module_in_the_tower_s_order():
    network, random = build(tiny.small("clstm_mma").network, ["speech", "text"], 4), np.random
    features = {m: random.default_rng(d).normal(size=(2, 5, d)).astype(np.float32)
                for m, d in (("speech", 4), ("text", 3))}  # fmt: skip
    params = tiny.params(network, {"speech": 4, "text": 3}, 2)
    inputs = Inputs.unpadded(features, np.zeros((2, 5), bool))
    names, weights = modalities.attention_weights(network, params, inputs)
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
    assert modalities.attention_weights(network, {}, None) is None


def test_means_by_class_by_hand():
    weights = np.zeros((2, 1, 3, 1, 1))
    weights[0, 0, :, 0, 0], weights[1, 0, :, 0, 0] = [1, 2, 30], [3, 4, 50]
    found = modalities.mean_weights(weights, np.array([[0, 1, -1]]), 3)
    assert found[:, 0, 0].tolist() == [2.5, 2.0, 3.0, 0.0]


def test_logits_are_those_of_the_network_with_the_modality_masked():
    trainer, _ = tiny.trainer(seeds=2)
    rows = trainer._host_rows["test"]
    params = tiny.params(trainer.system, {m: x.shape[-1] for m, x in rows.features.items()}, 2)
    found = modalities.logits_without(trainer.system, params, rows.inputs)
    assert set(found) == set(tiny.MODALITIES)
    features = {m: np.asarray(x) for m, x in rows.features.items()}
    changed = features | {"text": features["text"] + 5}
    masked = {"text": np.zeros(rows.mask.shape, bool)}
    for seed in range(2):
        one = jax.tree.map(lambda x, s=seed: x[s], params)
        logits, _ = trainer.system.apply(
            {"params": one}, Inputs.unpadded(changed, rows.reset, masked)
        )
        expected = np.asarray(logits["fusion"])[rows.mask]
        np.testing.assert_allclose(found["text"][seed][rows.mask], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(found["text"], found["speech"])
