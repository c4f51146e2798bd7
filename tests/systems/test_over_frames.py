"""Properties of systems that read the frames of an utterance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.systems import build
from mman_jax.types import Inputs
from tests.layers.references import dense

# Frames of four utterances; the third lacks a modality, the last all of them.
LENGTHS = {"text": (2, 3, 1, 0), "speech": (5, 3, 0, 0), "visual": (4, 1, 2, 0)}
SIZES = {
    "mult": {"units": 4, "heads": 2, "layers": 1, "frames": {"default": 6}},
    "tripathi": {
        "units": 5, "recurrent": 4, "attended": 3, "channels": (4, 3),
        "words": 6, "frames": 5, "parts": 4,
    },
}  # fmt: skip
# MulT has an encoder for each pair, all alike: its golden numbers are of three modalities.
DIMS = {"mult": {"text": 3, "speech": 2}, "tripathi": {"text": 3, "speech": 2, "visual": 4}}
every = pytest.mark.parametrize("name", SIZES)
STARTS = np.ones((4, 1), bool)


def settings(name):
    return {"system": name, "cells": "frames"} | SIZES[name]


def small(name, classes=3):
    return build(settings(name), list(DIMS[name]), classes)


def frames(name, more=0):
    """Features [4, 1, F, D] and where there are some; `more` cells of padding."""
    random, features, present = np.random.default_rng(0), {}, {}
    for m, size in DIMS[name].items():
        counts = LENGTHS[m]
        x = random.normal(size=(4, 1, max(counts), size)).astype("f4")
        features[m] = np.pad(x, ((0, 0), (0, 0), (0, more), (0, 0)))
        steps = np.arange(max(counts) + more)
        present[m] = (steps < np.array(counts)[:, None])[:, None]
    return features, present


@functools.cache
def parameters(name):
    """Biases are not zero either, because zeros could hide a leak."""
    random = np.random.default_rng(1)

    def draw(x):
        scale = x.shape[-2] ** -0.5 if len(x.shape) > 1 else 0.3
        return scale * random.normal(size=x.shape).astype("f4")

    return jax.tree.map(draw, small(name).parameter_shapes(DIMS[name]))


@functools.cache
def answering(name):
    def answer(params, features, present):
        reset = np.ones(next(iter(features.values())).shape[:2], bool)
        inputs = Inputs.unpadded(features, reset, present)
        return small(name).apply({"params": params}, inputs)[0]["answer"]

    return jax.jit(answer)


@functools.cache
def graded(name):
    """The answer, and gradients by parameters and features; what is missing or padding is NaN."""
    features, present = frames(name, more=2)
    for m, x in features.items():
        x[~present[m]] = np.nan

    def total(params, features):
        logits = answering(name)(params, features, present)
        return jnp.sum(logits[:3] ** 3), logits

    gradient = jax.grad(total, (0, 1), has_aux=True)
    (by_params, by_features), found = jax.jit(gradient)(parameters(name), features)
    return found, by_params, by_features, present


@every
def test_padding_and_what_is_missing_change_no_answer_and_have_no_gradient(name):
    expected = answering(name)(parameters(name), *frames(name))
    found, by_params, by_features, present = graded(name)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(by_params))
    for m, gradient in by_features.items():  # and every frame that is there has one
        moved = np.abs(np.asarray(gradient)).max(-1) > 0
        np.testing.assert_array_equal(moved, present[m], m)


@every
def test_without_a_frame_the_last_layers_alone_answer(name):
    params = parameters(name)
    if name == "mult":
        params = params["answer"]
        read = dense(params["dense_1"], np.maximum(params["dense_0"]["bias"], 0))
        expected = dense(params["logits"], read)
    else:
        expected = dense(params["answer"], np.maximum(params["dense"]["bias"], 0))
    np.testing.assert_allclose(graded(name)[0][3, 0], expected, atol=1e-5)


@every
def test_every_parameter_has_a_gradient(name):
    _, gradients, _, _ = graded(name)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        where, size = jax.tree_util.keystr(path), np.abs(gradient)
        if name == "mult":  # of each pair, and each layer of it
            several = ("cross" in where or "own" in where) + ("layers" in where)
            size = size.max(tuple(range(several, size.ndim))).min(keepdims=True)
        assert size.max() > 0, where


@every
def test_an_utterance_is_answered_from_itself_alone(name):
    features, present = frames(name)
    expected = answering(name)(parameters(name), features, present)
    order = np.array([2, 0, 3, 1])
    mixed = ({m: x[order] for m, x in given.items()} for given in (features, present))
    found = answering(name)(parameters(name), *mixed)
    np.testing.assert_allclose(found, expected[order], atol=1e-5)
    together = ({m: x.swapaxes(0, 1) for m, x in given.items()} for given in (features, present))
    found = answering(name)(parameters(name), *together)
    np.testing.assert_allclose(found[0], expected[:, 0], atol=1e-5)
    assert np.abs(np.diff(expected[:, 0], axis=0)).max(1).min() > 1e-3


@every
def test_dropout_acts_in_training_alone(name):
    system, (features, present) = small(name), frames(name)
    given = {"params": parameters(name)}, Inputs.unpadded(features, STARTS, present), None, True

    @jax.jit
    def train(seed):
        return system.apply(*given, rngs={"dropout": jax.random.key(seed)})[0]["answer"]

    np.testing.assert_array_equal(train(0), train(0))
    assert not np.allclose(train(0), train(1))
    assert not np.allclose(train(0), answering(name)(parameters(name), features, present))
