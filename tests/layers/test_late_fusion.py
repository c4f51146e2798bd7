"""The late fusion by hand: its kinds, its inputs and where its training starts."""

import jax
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from mman_jax.errors import InputError
from mman_jax.layers.tower import LateFusion, Tower
from mman_jax.systems import build

RESET = np.array([[True, False]])
LOGITS = {
    name: np.random.default_rng(seed).normal(size=(1, 2, 3)).astype(np.float32)
    for seed, name in enumerate(("text", "speech"))
}
BLOCK = {"hidden": (4,), "dense": 3, "dropout": 0.0, "input_dropout": 0.0}


def fused(**options):
    """Logits of the initial fusion, and its parameters."""
    fusion = LateFusion(3, **options)
    (logits, _), variables = fusion.init_with_output(jax.random.key(0), LOGITS, RESET)
    return np.asarray(logits), variables.get("params", {})


def mean(convert):
    return np.mean([convert(x, axis=-1) for x in LOGITS.values()], axis=0)


def test_the_mean_predicts_the_mean_of_the_probabilities():
    logits, params = fused(kind="mean")
    np.testing.assert_allclose(softmax(logits, axis=-1), mean(softmax), rtol=1e-5)
    assert not params


def test_the_mean_of_logarithms_is_the_geometric_mean():
    logits, _ = fused(kind="mean", inputs="log_probabilities")
    np.testing.assert_allclose(logits, mean(log_softmax), rtol=1e-5)


def test_a_dense_fusion_of_logarithms_starts_from_their_mean():
    logits, params = fused(inputs="log_probabilities")
    np.testing.assert_allclose(logits, mean(log_softmax), rtol=1e-5)
    assert params["logits"]["kernel"].shape == (6, 3)


def test_the_mean_of_numbers_is_their_mean():
    logits, _ = fused(kind="mean", numbers=True)
    np.testing.assert_allclose(logits, np.mean(list(LOGITS.values()), axis=0), rtol=1e-5)


def test_the_best_passes_the_logits_of_the_chosen_tower():
    fusion = LateFusion(3, "best", inputs="log_probabilities")
    for index, logits in enumerate(LOGITS.values()):
        choice = {"params": {"choice": np.eye(2, dtype=np.float32)[index]}}
        np.testing.assert_array_equal(fusion.apply(choice, LOGITS, RESET)[0], logits)


def test_the_skip_adds_a_linear_layer_to_the_logits():
    features = {"text": np.random.default_rng(5).normal(size=(1, 2, 7)).astype(np.float32)}
    plain, skipping = (
        Tower({n: BLOCK[n] for n in ("hidden", "dense")}, 3, skip=s) for s in (False, True)
    )
    params = skipping.init(jax.random.key(0), features, RESET)["params"]
    kernel = params["skip"]["kernel"]
    without = {name: x for name, x in params.items() if name != "skip"}
    expected, _ = plain.apply({"params": without}, features, RESET)
    found, _ = skipping.apply({"params": params}, features, RESET)
    assert kernel.shape == (7, 3)
    np.testing.assert_allclose(found, expected + features["text"] @ kernel, atol=1e-5)


@pytest.mark.parametrize("field", ["kind", "inputs"])
def test_an_unknown_choice_is_refused(field):
    settings = {"unimodal": {"default": BLOCK}, "fusion": {"kind": "dense"} | {field: "median"}}
    with pytest.raises(InputError, match=f"network.fusion.{field}"):
        build(settings, ["text", "speech"], 3)
