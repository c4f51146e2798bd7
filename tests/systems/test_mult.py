"""MulT: the golden numbers, its sizes, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import mult
from mman_jax.errors import InputError
from mman_jax.systems import build
from mman_jax.trial.trial import prepare_trial
from mman_jax.types import Inputs
from tests.layers import references
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
RESET = np.array([[True, False, False, False]] * 2)


def features(cells=4):
    phases = zip(DIMS.items(), (0, 0.5, 0.9), strict=True)
    return {m: golden.inputs(2, cells, d, phase) for (m, d), phase in phases}


def test_parameters_of_the_papers_own_sizes():
    dims = {"text": 300, "speech": 74, "visual": 35}
    system = build({"system": "mult", "units": 40, "layers": 4, "heads": 10}, list(dims), 2)
    assert golden.count(system.parameter_shapes(dims)) == 1_540_842


def test_the_golden_numbers():
    system = build({"system": "mult", "layers": 3}, list(DIMS), 2)
    params = golden.params(system, DIMS)
    assert golden.count(params) == 663_752
    logits, _ = jax.jit(system.apply)({"params": params}, Inputs.unpadded(features(), RESET))
    expected = [[0.0012, -0.08393], [0.05936, -0.09261]]
    np.testing.assert_allclose(logits["answer"][:, -1], expected, atol=2e-4)


def test_the_golden_numbers_of_what_the_head_reads():
    # The head is made the identity: what it reads is its answer.
    system = build({"system": "mult", "layers": 3}, list(DIMS), 180)
    params = golden.params(system, DIMS)
    answer = params["answer"]
    answer["dense_1"] = jax.tree.map(np.zeros_like, answer["dense_1"])
    answer["logits"] = {"kernel": np.eye(180, dtype="f4"), "bias": np.zeros(180, "f4")}
    logits, _ = jax.jit(system.apply)({"params": params}, Inputs.unpadded(features(), RESET))
    expected = [-0.01481, 1.50312, 1.1362, -0.31704, -1.42838, -1.23504]
    np.testing.assert_allclose(logits["answer"][0, -1, :6], expected, atol=2e-4)


def test_the_golden_numbers_over_frames_of_unequal_and_of_equal_lengths():
    system = build({"system": "mult", "layers": 3, "cells": "frames"}, list(DIMS), 2)
    params = golden.params(system, DIMS)
    assert golden.count(params) == 663_752  # those that it has over cells
    given = {m: x[:, None] for m, x in features(6).items()}
    answer = jax.jit(system.apply)
    for lengths, expected in (
        ((3, 5, 4), [[0.03605, -0.0674], [0.02835, -0.08782]]),
        ((4, 4, 4), [[0.0012, -0.08393], [0.05936, -0.09261]]),
    ):
        there = {m: np.arange(6) < n for m, n in zip(DIMS, lengths, strict=True)}
        present = {m: np.broadcast_to(x, (2, 1, 6)) for m, x in there.items()}
        logits, state = answer(
            {"params": params}, Inputs.unpadded(given, np.ones((2, 1), bool), present)
        )
        np.testing.assert_allclose(logits["answer"][:, 0], expected, atol=2e-4)
        assert state == {}


def test_the_order_of_the_modalities_permutes_parameters_and_nothing_else():
    settings = {"system": "mult", "units": 6, "heads": 3, "layers": 1}
    given = {m: features()[m] for m in ("text", "speech")}
    system = build(settings, ["text", "speech"], 2)
    dims = {m: x.shape[-1] for m, x in given.items()}
    params = references.randomise(system.parameter_shapes(dims), scale=0.3)
    expected, _ = jax.jit(system.apply)({"params": params}, Inputs.unpadded(given, RESET))
    answer = jax.tree.map(np.asarray, params["answer"])
    for name in ("cross", "own"):
        answer[name] = jax.tree.map(lambda x: x[::-1], answer[name])

    def swap(x, axes):
        for axis in axes:
            x = np.roll(x, 6, axis)
        return x

    for name, axes in (("dense_0", (0, 1)), ("dense_1", (0, 1)), ("logits", (0,))):
        bias = answer[name]["bias"]
        answer[name] = {
            "kernel": swap(answer[name]["kernel"], axes),
            "bias": swap(bias, (0,)) if 1 in axes else bias,
        }
    swapped = build(settings, ["speech", "text"], 2)
    found, _ = jax.jit(swapped.apply)({"params": {"answer": answer}}, Inputs.unpadded(given, RESET))
    np.testing.assert_allclose(found["answer"], expected["answer"], atol=1e-5)


def test_an_answer_looks_back_as_far_as_the_windows_of_its_layers_reach():
    dims = {"text": 2, "speech": 3}
    settings = {"system": "mult", "units": 6, "heads": 3, "layers": 2, "window": 2}
    system = build(settings, list(dims), 3)
    params = references.randomise(system.parameter_shapes(dims), scale=0.4)
    x, steps = {m: golden.inputs(1, 7, d) for m, d in dims.items()}, np.arange(7)

    def answers(x):
        logits, _ = system.apply(
            {"params": params}, Inputs.unpadded(x, jnp.asarray(steps == 0)[None])
        )
        return logits["answer"] @ jnp.arange(1.0, 4)

    # Cross-modal layers read one source that none of them changes; three read themselves.
    age = steps[:, None] - steps
    expected = (age >= 0) & (age <= (1 + 3) * (2 - 1))
    for m, jacobian in jax.jit(jax.jacrev(answers))(x).items():
        np.testing.assert_array_equal(np.abs(jacobian[0, :, 0]).max(-1) > 0, expected, m)


def test_where_nothing_is_projected_there_is_no_projection():
    shapes = build({"system": "mult"}, ["a", "b"], 2).parameter_shapes({"a": 30, "b": 2})
    assert {"project_b"} == {name for name in shapes["answer"] if "project" in name}


def test_a_modality_alone_is_refused_before_anything_is_trained():
    config = mult.get_config()
    config.data.modalities = "text"
    with pytest.raises(InputError) as error:
        prepare_trial(config)
    assert str(error.value) == ("config.modalities: text alone; expected two or more for MulT")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"units": 0}, "network.units: 0; expected a whole number from 1"),
        ({"heads": 4}, "network.heads: 4, of 30 units; expected heads that divide the units"),
        ({"window": -1}, "network.window: -1; expected a whole number from 1"),
        ({"embed_dropout": 1.0}, "network.embed_dropout: 1.0; expected a rate from 0 to below 1"),
        ({"hidden": 3}, "network.hidden: unknown"),
        ({"cells": "frame"}, "network.cells: 'frame'; expected 'frames'"),
        ({"frames": {"text": 5}}, "network.frames: none for 'speech'; expected one by its name"),
        ({"frames": {"default": 0}}, "network.frames.default: 0; expected a whole number from 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        build({"system": "mult"} | settings, list(DIMS), 2).parameter_shapes(DIMS)
