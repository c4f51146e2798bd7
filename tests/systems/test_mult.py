"""MulT: golden numbers, sizes, and invalid settings."""

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.systems import build
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


def test_golden_numbers_of_the_head_and_of_its_input():
    system = build({"system": "mult", "layers": 3}, list(DIMS), 2)
    params = golden.params(system, DIMS)
    assert golden.count(params) == 663_752
    logits, _ = jax.jit(system.apply)({"params": params}, Inputs.unpadded(features(), RESET))
    expected = [[0.0012, -0.08393], [0.05936, -0.09261]]
    np.testing.assert_allclose(logits["answer"][:, -1], expected, atol=2e-4)
    # If the head is the identity, its answer is its input.
    system = build({"system": "mult", "layers": 3}, list(DIMS), 180)
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
