"""FMT: golden numbers, sizes, and invalid settings."""

import itertools

import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference.answerer import check_streams
from mman_jax.systems import build
from mman_jax.systems.fmt import Layer, Norm
from mman_jax.types import Inputs
from tests.layers import references
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SMALL = {
    "system": "fmt",
    "widths": {"speech": 3, "visual": 2},
    "heads": 2,
    "merge": (5, 3),
    "hidden": 6,
    "layers": 2,
    "units": 5,
}
RESET = np.array([[True, False, False, False]] * 2)


def features():
    phases = zip(DIMS.items(), (0, 0.5, 0.9), strict=True)
    return {m: golden.inputs(2, 4, d, phase) for (m, d), phase in phases}


def test_parameters_of_its_settings_for_mosi():
    widths = {"speech": 20, "visual": 40}
    settings = {"system": "fmt", "widths": widths, "heads": 6, "units": 1024}
    dims = {"text": 300, "speech": 74, "visual": 47}
    shapes = build(settings, list(dims), 1).parameter_shapes(dims)
    assert golden.count(shapes) == 92_794_917


def test_the_golden_numbers():
    system = build(SMALL | {"ahead": True}, list(DIMS), 2)
    params = golden.params(system, DIMS)
    assert golden.count(params) == 5356
    logits, _ = jax.jit(system.apply)({"params": params}, Inputs.unpadded(features(), RESET))
    expected = [[-0.16514, -0.25509], [-0.03208, -0.01939]]
    np.testing.assert_allclose(logits["answer"][:, -1], expected, atol=2e-4)


def test_merging_is_the_chain_of_linear_layers_on_each_version_of_a_modality():
    """A layer as it is written down: heads one after the other, each modality's versions stacked,
    then one small layer after the other."""
    shapes = build(SMALL, list(DIMS), 2).parameter_shapes(DIMS)["answer"]["layers"]
    layer = jax.tree.map(lambda x: x[0], references.randomise(shapes, scale=0.3))
    for name in ("norm_attention", "norm_dense"):
        layer[name] = {"scale": np.ones(9, "f4"), "bias": np.zeros(9, "f4")}
    x = np.random.default_rng(0).normal(size=(1, 3, 9))

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / (x.std(-1, ddof=1, keepdims=True) + 1e-6)

    columns = [[0, 1, 2, 3], [4, 5, 6], [7, 8]]
    versions = {(m, h): [] for m in range(3) for h in range(2)}
    for size in (1, 2, 3):
        for group in itertools.combinations(range(3), size):
            own = layer["group_" + "_".join(map(str, group))]
            where = np.concatenate([columns[m] for m in group]).tolist()
            read, running = norm(x)[..., where], x[..., where]
            for h in range(2):
                q, k, v = (
                    read @ own[f"{name}_kernel"][h] + own[f"{name}_bias"][h]
                    for name in ("query", "key", "value")
                )
                weights = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(len(where)))
                found = weights / weights.sum(-1, keepdims=True) @ v
                running = running + found @ own["output_kernel"][h] + own["output_bias"][h]
                for m in group:
                    place = [where.index(c) for c in columns[m]]
                    versions[m, h].append(running[..., place])
    merged = []
    for m in range(3):
        total = 0
        for h in range(2):
            stacked = np.stack(versions[m, h], axis=-1)
            for number in range(3):
                kernel, bias = (layer[f"merge_{number}_{kind}"] for kind in ("kernel", "bias"))
                stacked = stacked @ kernel[m, h] + bias[m, h]
            total = total + stacked[..., 0]
        merged.append(total)
    hidden = norm(np.concatenate(merged, axis=-1))
    for number in (0, 1):
        hidden = hidden @ layer[f"dense_{number}"]["kernel"] + layer[f"dense_{number}"]["bias"]
        hidden = np.maximum(hidden, 0) if number == 0 else hidden
    module = Layer((4, 3, 2), 2, (5, 3), 6, 8, 0.0)
    seen, known = np.ones((1, 3, 3), bool), np.ones((1, 3, 3), bool)
    apply = jax.jit(module.apply, static_argnums=5)
    found, _ = apply({"params": layer}, np.float32(x), None, seen, known, False)
    np.testing.assert_allclose(found, x + hidden, atol=1e-4)


def test_its_norm_divides_by_the_deviation_with_n_minus_1():
    x = np.array([[1.0, 2.0, 4.0, 9.0]], np.float32)
    expected = (x - 4) / np.sqrt((9 + 4 + 0 + 25) / 3)
    params = {"params": {"scale": np.ones(4, "f4"), "bias": np.zeros(4, "f4")}}
    found = Norm().apply(params, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    still = np.full((1, 4), 2.0, np.float32)
    slope = jax.grad(lambda x: (Norm().apply(params, x) ** 2).sum())(still)
    assert np.isfinite(slope).all()


def test_one_modality_has_one_group():
    shapes = build(SMALL, ["text"], 2).parameter_shapes({"text": 4})["answer"]["layers"]
    assert [name for name in shapes if "group" in name] == ["group_0"]
    assert shapes["merge_0_kernel"].shape == (2, 1, 2, 1, 5)


def test_one_that_looks_ahead_says_so():
    system = build(SMALL | {"ahead": True}, list(DIMS), 2)
    with pytest.raises(InputError, match="FMT, whose answer depends on later utterances"):
        check_streams(system)
    check_streams(build(SMALL, list(DIMS), 2))
