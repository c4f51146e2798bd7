import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.systems import build, mister_e
from mman_jax.systems.mister_e import MisterE, MisterECausal
from tests.systems import golden

DIMS = {"text": 4, "speech": 3}
SIZES = {"context": 3, "layers": 2, "size": 6, "inner": 6, "heads": 3, "units": 2}
LABELS = np.array([[0, 2, 1, 0], [1, 0, 2, 2]])
OF_TEXT = r"exchange/(project_0|again_0|unit_._(cross|self)_0(/|_query|_key|_value))"


def filled(phased):
    def fill(path, shape):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        phases = {"of_speech_": 0.3, "of_text_": 0.6, OF_TEXT: 0.9}
        phase = sum(p for pattern, p in phases.items() if phased and re.search(pattern, name))
        if len(shape) == 3:  # taps, in, out: its columns are counted in the order of in, taps
            taps, inputs, outputs = shape
            kernel = golden.matrix(inputs * taps, outputs, phase)
            return kernel.reshape(inputs, taps, outputs).swapaxes(0, 1)
        return golden.matrix(*shape, phase) if len(shape) == 2 else golden.filled(path, shape)

    return fill


def small(kind=MisterE, phased=False):
    system = kind(tuple(DIMS), 3, **SIZES)
    return system, golden.params(system, DIMS, filled(phased))


@pytest.mark.parametrize(
    ("kind", "phased", "parameters", "rows"),
    [
        (MisterE, False, 4450, ([[1.76295, 0.56827, -1.14888], [1.75788, 0.71911, -0.98081],
         [1.64909, 0.78387, -0.80205], [1.19051, 0.51586, -0.63308]], [[1.27723, 0.58337, -0.64684],
         [1.71646, 0.87287, -0.77323], [1.74209, 0.80943, -0.86741],
         [1.36252, 0.66877, -0.63985]])),
        (MisterECausal, False, 4666, ([[0.11885, -0.02883, -0.15], [0.08871, 0.06297, -0.02066],
         [-0.00195, 0.1213, 0.13304], [0.00488, 0.09684, 0.09977]], [[0.08708, 0.07284, -0.00838],
         [-0.00399, 0.12564, 0.13975], [-0.00523, 0.10322, 0.11677],
         [0.10013, 0.06361, -0.03139]])),
        (MisterE, True, 4450, ([[1.63932, 0.11723, -1.51265], [1.73334, 0.41211, -1.28801],
         [1.69046, 0.63196, -1.00757], [1.30286, 0.36019, -0.91363]],
         [[1.35207, 0.32161, -1.00454], [1.69709, 0.75362, -0.88273],
          [1.64659, 0.56964, -1.03104], [1.07261, 0.25305, -0.79917]])),
        (MisterECausal, True, 4666, ([[0.09329, 0.14404, 0.06237]],
         [[0.08494, 0.07256, -0.00652]])),
    ],
)  # fmt: skip
def test_golden_numbers(kind, phased, parameters, rows):
    system, params = small(kind, phased)
    assert golden.count(params) == parameters
    outputs, _ = golden.conversations(system, params, DIMS, (4, 4))
    for output, expected in zip(outputs, rows, strict=True):
        np.testing.assert_allclose(output["answer"][-len(expected) :], expected, atol=2e-4)


def undropped(next_method, arguments, keywords, context):
    """Calls a method, unless it is dropout's."""
    if isinstance(context.module, nn.Dropout):
        return arguments[0]
    return next_method(*arguments, **keywords)


def test_golden_numbers_of_experts_and_losses():
    system, params = small()
    (output, _), batch = golden.conversations(system, params, DIMS, (4, 4))
    first = {"speech": [1.9643, 0.64865, -1.26336], "text": [1.57439, 0.45694, -1.08061]}
    for name, expected in (first | {"both": [-0.01319, 0.09721, 0.11823]}).items():
        np.testing.assert_allclose(output[name][0], expected, atol=2e-4)
    expected = [2.58342, 1.97144, -0.4099, -2.37122, -2.10928, 0.13509]
    with nn.intercept_methods(undropped):
        outputs, _ = system.apply({"params": params}, batch, None, True)
    np.testing.assert_allclose(outputs["vectors"][0, 0, 1], expected, atol=2e-4)
    losses = system.losses(outputs, batch, jnp.asarray(LABELS))
    values = {name: float(total / weight) for name, (total, weight) in losses.items()}
    np.testing.assert_allclose(values["contrastive"], 2 * 3.04104, atol=4e-4)
    np.testing.assert_allclose(values["disagreement"], 0.1 * 2.1596, atol=2e-4)


def test_contrast_compares_with_hand_computed_values():
    # Each vector has one positive, its companion; the other two are orthogonal.
    vectors = jnp.array([[[[1.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]]]])
    total, count = mister_e.contrast(vectors, jnp.array([[0, 1]]))
    expected = -(1 - np.log(np.e + 2))
    np.testing.assert_allclose(total / count, 2 * expected, rtol=1e-5)
    alone, count = mister_e.contrast(vectors, jnp.array([[0, -1]]))
    assert abs(alone) < 1e-6
    assert count == 2


def test_experts_that_agree_give_their_answer():
    system, params = small()
    _, batch = golden.conversations(system, params, DIMS, (4, 4))
    same = jnp.ones((2, 4, 3))
    outputs = dict.fromkeys(("text", "speech", "both", "answer"), same)
    outputs["vectors"] = jnp.ones((2, 4, 2, 6))
    assert abs(system.losses(outputs, batch, jnp.asarray(LABELS))["disagreement"][0]) < 1e-6


@pytest.mark.parametrize("modalities", [("text",), ("text", "speech", "visual")])
def test_other_numbers_of_modalities_are_refused(modalities):
    with pytest.raises(InputError, match="modalities"):
        build({"system": "mister_e"}, modalities, 2)
