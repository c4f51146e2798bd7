import re

import jax
import numpy as np
import pytest

from mman_jax.systems.sdt import SDT, SDTCausal
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SLOTS = [[0, 1, 0, 1], [1, 1, 0]]
ENCODERS = [
    *("text_text", "text_speech", "text_visual", "speech_speech", "speech_text"),
    *("speech_visual", "visual_visual", "visual_text", "visual_speech"),
]


def filled(phased):
    def fill(path, shape):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "embedding" in name:
            return golden.matrix(shape[1], shape[0]).T
        if len(shape) < 2 or not phased:
            return golden.filled(path, shape)
        of_encoder = re.search("(?:encoder|gate)_([a-z]+_[a-z]+)", name)
        of_modality = re.search("(?:reduce|output)_([a-z]+)", name)
        order, match = (ENCODERS, of_encoder) if of_encoder else (list(DIMS), of_modality)
        return golden.matrix(*shape, 0.3 * order.index(match[1]) if match else 0.0)

    return fill


def small(kind=SDT, phased=False, **settings):
    settings = {"size": 8, "heads": 2, "parties": 2, "temperature": 2.0} | settings
    system = kind(tuple(DIMS), 3, **settings)
    return system, golden.params(system, DIMS, filled(phased))


@pytest.mark.parametrize(
    ("kind", "settings", "parameters", "rows", "distilled"),
    [
        (SDT, {}, 5468, ([[2.21387, 1.8753, -0.18741], [2.97321, 1.56963, -1.27706],
         [2.72706, 1.58415, -1.01522], [2.79049, 1.40461, -1.27266]],
         [[2.33248, 1.42277, -0.79503], [2.72186, 1.46674, -1.13689],
          [2.82843, 1.64329, -1.05268]]), [0.02438, 0.02907, 0.07824]),
        (SDT, {"gate": "fixed"}, 4892, ([[2.42557, 2.16687, -0.08404],
         [2.25239, 0.94087, -1.23568], [2.57754, 1.44847, -1.01232],
         [1.28568, 0.36889, -0.88705]], [[1.95898, 1.11695, -0.752],
         [2.31721, 1.36182, -0.84563], [2.69912, 1.61972, -0.94884]]), None),
        (SDTCausal, {}, 5468, ([[2.06084, 1.81263, -0.10211], [2.82712, 1.55493, -1.14685],
         [2.66633, 1.60863, -0.92803], [2.79049, 1.40461, -1.27266]],
         [[2.53897, 1.62595, -0.78196], [2.59391, 1.37749, -1.10539],
          [2.82843, 1.64329, -1.05268]]), None),
        (SDT, {"phased": True}, 5468, ([[1.96586, 1.08442, -0.79403],
         [3.55675, 1.87842, -1.52693], [3.15816, 2.09337, -0.89605],
         [2.69479, 1.09546, -1.51104]], [[2.60952, 1.51246, -0.97515],
         [2.85984, 1.65289, -1.07372], [3.13068, 2.28802, -0.65824]]), None),
    ],
)  # fmt: skip
def test_golden_numbers(kind, settings, parameters, rows, distilled):
    system, params = small(kind, **settings)
    assert golden.count(params) == parameters
    outputs, batch = golden.conversations(system, params, DIMS, slots=SLOTS)
    for output, expected in zip(outputs, rows, strict=True):
        np.testing.assert_allclose(output["answer"], expected, atol=2e-4)
    if distilled:
        padded, _ = system.apply({"params": params}, batch)
        losses = system.losses(padded, batch, None).values()
        np.testing.assert_allclose([x / n for x, n in losses], distilled, atol=2e-4)


def test_golden_numbers_of_each_modality():
    system, params = small()
    (output, _), _ = golden.conversations(system, params, DIMS, slots=SLOTS)
    first = [[2.31594, 2.53598, 0.42446], [2.13653, 3.57155, 1.7229], [0.90787, 2.84312, 2.16442]]
    np.testing.assert_allclose([output[m][0] for m in DIMS], first, atol=2e-4)


def test_the_causal_form_equals_the_published_one_at_the_last_utterance():
    (published, params), (causal, _) = small(), small(SDTCausal)
    pairs = (golden.conversations(x, params, DIMS, slots=SLOTS)[0] for x in (published, causal))
    for x, y in zip(*pairs, strict=True):
        np.testing.assert_allclose(x["answer"][-1], y["answer"][-1], atol=1e-5)


def test_equal_predictions_have_no_distance_and_a_finite_gradient():
    system, params = small()
    _, batch = golden.conversations(system, params, DIMS)
    padded, _ = system.apply({"params": params}, batch)
    same = dict.fromkeys(padded, padded["answer"])

    def total(outputs):
        return sum(x / n for x, n in system.losses(outputs, batch, None).values())

    assert abs(total(same)) < 1e-6
    far = jax.tree.map(lambda x: 1e4 * x, padded)
    for gradient in map(jax.grad(total), (same, far)):
        assert all(np.isfinite(x).all() for x in gradient.values())
