import functools

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.systems import build
from mman_jax.systems.mfm import _last_cells, discrepancy
from mman_jax.types import Inputs
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SMALL = {
    "system": "mfm",
    "private": {"text": 5, "speech": 3, "visual": 2},
    "shared": 4,
    "private_factor": {"text": 4, "speech": 3, "visual": 2},
    "shared_factor": 3,
    "hidden": {"text": 5, "speech": 3, "visual": 2},
    "memory": 6,
    "inner": (7, 6, 5, 4),
    "inner_dropout": 0.0,
    "private_dropout": {"default": 0.0},
}
INPUTS = {
    m: golden.inputs(2, 3, d, phase)
    for (m, d), phase in zip(DIMS.items(), (0.0, 0.5, 0.9), strict=True)
}
STARTS = np.array([[True, False, False]] * 2)


def in_training(present=None, mask=None, features=INPUTS, **changes):
    """Logits in training by the rule's parameters, losses, codes and what is rebuilt."""
    system = build(SMALL | changes, list(DIMS), 2)
    starts = STARTS[:, : features["text"].shape[1]]
    inputs = Inputs.unpadded(features, starts, present)
    inputs = inputs if mask is None else inputs._replace(mask=mask)

    outputs, losses = outputs_and_losses(system, golden.params(system, DIMS), inputs)
    return outputs["answer"], losses, outputs["codes"], outputs["rebuilt"]


@functools.partial(jax.jit, static_argnums=0)
def outputs_and_losses(system, params, inputs):
    rngs = {"dropout": jax.random.key(0)}
    outputs, _ = system.apply({"params": params}, inputs, train=True, rngs=rngs)
    return outputs, system.losses(outputs, inputs, None)


@functools.cache
def over_words():
    return in_training(cells="words")


def test_the_golden_numbers_of_words():
    system = build(SMALL | {"cells": "words"}, list(DIMS), 2)
    assert golden.count(golden.params(system, DIMS)) == 2844
    answer, _, codes, rebuilt = over_words()

    def close(found, expected):
        np.testing.assert_allclose(found, expected, atol=2e-4)

    close(answer[:, -1], [[0.62529, 0.38106], [0.64052, 0.44691]])
    close(codes["text"][0, -1], [0.16338, 0.10298, -0.05211, -0.15928, -0.12001])
    close(codes["text"][1, -1], [0.23809, 0.13546, -0.09172, -0.23457, -0.16176])
    close(codes["shared"][0, -1], [0.12879, -0.03033, -0.16157, -0.14425])
    close(codes["shared"][1, -1], [0.19805, 0.03802, -0.15697, -0.20764])
    expected = [
        [0.08012, 0.05596, -0.01965, -0.07719],
        [0.10226, 0.08895, -0.00615, -0.09559],
        [0.10817, 0.09673, -0.00364, -0.10067],
    ]
    close(rebuilt["text"][0], expected)
    close(rebuilt["visual"][1], [[-0.02137, -0.0081], [-0.0159, -0.02072], [0.04382, 0.0153]])


def test_each_utterance_is_rebuilt_by_itself():
    *_, rebuilt = in_training()
    first = {m: x[:, :1] for m, x in INPUTS.items()}
    # A conversation of one utterance is at its last cell: both ways are then one.
    *_, alone = in_training(features=first, cells="words")
    for m in DIMS:
        np.testing.assert_allclose(rebuilt[m][:, :1], alone[m], atol=1e-6)


def test_losses_weigh_as_stated_and_count_what_is_there():
    mask = np.array([[True, True, True], [True, True, False]])
    present = {"speech": np.array([[True, False, True], [True, True, True]])}
    given = INPUTS | {"speech": np.where(present["speech"][..., None], INPUTS["speech"], np.nan)}
    weights = {"text": 2.0, "speech": 0.25, "visual": 1.0}
    _, losses, _, rebuilt = in_training(present, mask, given, rebuilding=weights, discrepancy=3.0)
    for m in DIMS:
        there = mask & present.get(m, True)
        errors = ((rebuilt[m] - INPUTS[m]) ** 2).mean(-1)[there]
        total, cells = losses[f"rebuilding_{m}"]
        assert cells == there.sum()
        np.testing.assert_allclose(total, weights[m] * errors.sum(), rtol=1e-5)
        assert losses[f"discrepancy_{m}"][1] == there.sum()
    assert losses["discrepancy"][1] == 5
    # What lies in the padding changes no loss.
    given = {m: np.where(mask[..., None], x, np.float32(7)) for m, x in given.items()}
    _, other, _, _ = in_training(present, mask, given, rebuilding=weights, discrepancy=3.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), losses, other)


def test_losses_of_no_weight_are_nothing():
    _, losses, _, _ = in_training(rebuilding={"default": 0.0}, discrepancy=0.0)
    assert len(losses) == 7
    assert all(total == 0 for total, _ in losses.values())


def test_over_words_the_codes_are_compared_at_the_last_ones():
    _, losses, _, _ = over_words()
    assert losses["discrepancy"][1] == 2
    assert losses["rebuilding_text"][1] == 6


def test_the_discrepancy_of_a_sample_with_itself_is_zero_and_weights_leave_points_out():
    one = jnp.array(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    other, ones = one[::-1] + 1, jnp.ones(5)
    np.testing.assert_allclose(discrepancy(one, one, ones, ones), 0, atol=1e-6)
    few = jnp.array([1.0, 0, 1, 0, 0])
    expected = discrepancy(one[jnp.array([0, 2])], other, jnp.ones(2), ones)
    np.testing.assert_allclose(discrepancy(one, other, few, ones), expected, rtol=1e-5)
    nothing = discrepancy(one, other, jnp.zeros(5), jnp.zeros(5))
    assert nothing == 0


def test_where_the_last_cells_are():
    reset = np.array([[True, False, True, False, False], [True, True, False, False, True]])
    np.testing.assert_array_equal(_last_cells(reset), [[1, 1, 4, 4, 4], [0, 3, 3, 3, 4]])


def test_a_modality_of_any_name_has_the_default_sizes():
    shapes = build({"system": "mfm"}, ["face", "text"], 2).parameter_shapes({"face": 3, "text": 2})
    assert shapes["code_face"]["kernel"].shape == (32, 32)
    assert shapes["mfn"]["lstm_face"]["kernel_hidden"].shape == (64, 256)
    assert shapes["mfn"]["lstm_text"]["kernel_hidden"].shape == (88, 352)
