import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.systems import build
from mman_jax.systems.raven import RAVEN
from mman_jax.types import Inputs
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SMALL = {"projection": 6, "frames": 5, "hidden": 7, "dropout": 0.0}
STARTS = np.array([[True, False, False]] * 2)
# Two conversations of three words, two frames in each, not all of them there.
THERE = np.arange(2) < np.array([[2, 1, 0], [1, 2, 2]])[..., None]


class Public(RAVEN):
    """With the gates and the cap of the authors' public code."""

    def gate(self, score):
        return score

    def cap(self, shift, word):
        long, longest = (jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (word, shift))
        return self.beta * long * shift / jnp.maximum(longest, 1)


def words():
    def frames(size, phase):
        return golden.inputs(6, 2, size, phase).reshape(2, 3, 2, size)

    return {"text": golden.inputs(2, 3, 4), "speech": frames(3, 0.5), "visual": frames(2, 0.9)}


def answer(system, features, params=None, **present):
    params = golden.params(system, DIMS) if params is None else params
    (logits, _), kept = system.apply(
        {"params": params}, Inputs.unpadded(features, STARTS, present), mutable=["intermediates"]
    )
    return logits["answer"], kept["intermediates"]["shifted"][0]


@pytest.mark.parametrize(
    ("kind", "first", "last", "answers"),
    [
        # Of the authors' modules.
        (
            Public,
            [0.56744, -0.11421, -0.74871, -1.026],
            [-0.62817, 0.00111, 0.6238, 0.958],
            [0.02089, 0.22295],
        ),
        # Of an independent NumPy implementation, with the paper's gates and cap.
        (
            RAVEN,
            [0.61443, -0.08458, -0.76368, -1.07181],
            [-0.58485, 0.02459, 0.60586, 0.91513],
            [0.01533, 0.20811],
        ),
    ],
)
def test_the_golden_numbers(kind, first, last, answers):
    system = kind.from_settings(SMALL, list(DIMS), 1)
    logits, shifted = answer(system, words(), speech=THERE, visual=THERE)
    np.testing.assert_allclose(shifted[0, 0], first, atol=2e-4)
    np.testing.assert_allclose(shifted[1, 2], last, atol=2e-4)
    np.testing.assert_allclose([logits[0, 1, 0], logits[1, 2, 0]], answers, atol=2e-4)


def test_a_word_is_shifted_no_farther_than_beta_of_its_length():
    features = words()
    system = RAVEN.from_settings(SMALL | {"beta": 0.3}, list(DIMS), 2)
    params = jax.tree.map(lambda x: 5 * x, golden.params(system, DIMS))
    _, shifted = answer(system, features, params, speech=THERE)
    far = np.linalg.norm(shifted - features["text"], axis=-1)
    longest = 0.3 * np.linalg.norm(features["text"], axis=-1)
    assert (far <= longest * (1 + 1e-5)).all()
    np.testing.assert_allclose(far[0, 0], longest[0, 0], rtol=1e-5)  # so large a shift reaches it
    small = jax.tree.map(lambda x: 0.01 * x, params)
    _, shifted = answer(system, features, small, speech=THERE)
    far = np.linalg.norm(shifted - features["text"], axis=-1)
    assert (far < longest).all()
    assert (far > 0).all()


def test_where_nothing_else_is_there_the_word_passes_unchanged():
    features = words()
    system = RAVEN.from_settings(SMALL, list(DIMS), 2)
    _, shifted = answer(system, features, speech=THERE, visual=THERE)
    alone = ~THERE.any(-1)
    np.testing.assert_array_equal(shifted[alone], features["text"][alone])
    assert np.abs(shifted - features["text"])[~alone].max() > 0.01


def test_any_modality_is_the_pivot():
    def shifted(modalities, **settings):
        system = build({"system": "raven"} | settings, modalities, 2)
        return system.parameter_shapes(dict.fromkeys(modalities, 3) | {modalities[0]: 5})

    assert "gate_text" not in shifted(["face", "text"])
    assert "gate_text" in shifted(["face", "text"], pivot="face")
    named = shifted(["face", "voice", "hand"])  # without text it is the first one
    assert named["shift"]["kernel"].shape == (300, 5)
    assert {"gate_voice", "gate_hand"} < set(named)
