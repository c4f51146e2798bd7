"""Calibration errors by hand, and temperatures against a search over all of them."""

import jax
import numpy as np
import pytest
import scipy.special

from mman_jax.evaluation import calibration
from mman_jax.types import UNSCORED


def drawn(utterances=400, classes=3, sureness=1.0, seed=0):
    """Calibrated probabilities, with logits multiplied by a factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (utterances, classes))
    fair = scipy.special.softmax(logits, axis=-1)
    labels = np.array([random.choice(classes, p=p) for p in fair])
    return scipy.special.softmax(sureness * logits, axis=-1), labels


def loss(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_best_of_all(sureness):
    probabilities, labels = drawn(utterances=2000, sureness=sureness)
    labels[:40] = UNSCORED
    found = calibration.fit_temperature(probabilities, labels)
    assert abs(found / sureness - 1) < 0.2
    several = found * np.geomspace(0.5, 2, 41)
    losses = [loss(calibration.temper(probabilities[40:], t), labels[40:]) for t in several]
    assert np.argmin(losses) == 20
    if sureness == 3.0:  # tempering lowers the error of answers that claim too much
        before, after = (
            calibration.expected_calibration_error(calibration.reliability(p, labels))
            for p in (probabilities, calibration.temper(probabilities, found))
        )
        assert after < before / 3


def test_temperatures_stay_within_limits():
    sure = np.array([[0.9, 0.1], [0.2, 0.8]])
    low, high = calibration.LIMITS
    assert calibration.fit_temperature(sure, np.array([0, 1])) == low
    assert calibration.fit_temperature(sure, np.array([1, 0])) == high
    assert calibration.fit_temperature(sure, np.array([UNSCORED, UNSCORED])) == 1
    assert calibration.fit_temperature(np.full((4, 2), 0.5), np.array([0, 1, 1, 1])) == 1
    zero = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert low <= calibration.fit_temperature(zero, np.array([0, 1, 1])) <= high


@pytest.mark.parametrize("temperature", [0.1, 0.7, 4.0])
def test_tempered_probabilities(temperature):
    logits = np.random.default_rng(1).normal(0, 5, (50, 4)).astype(np.float32)
    single = scipy.special.softmax(logits, axis=-1)
    found = calibration.temper(single, temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scipy.special.softmax(logits / temperature, -1), atol=2e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    assert (found.argmax(-1) == single.argmax(-1)).all()
    compiled = jax.jit(calibration.temper, static_argnums=1)(single, temperature)
    np.testing.assert_allclose(compiled, found, atol=1e-6)
    assert calibration.temper(single, 1.0) is single
    far = np.array([[1.0, 1e-30]], np.float32)
    assert calibration.temper(far, 0.1).tolist() == [[1.0, 0.0]]


def test_bins_and_their_error_by_hand():
    # 1 / 15 is 0.0667; 0.6 ends the ninth bin and belongs to it.
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.58, 0.42], [0.05, 0.95], [1.0, 0.0]])
    labels = np.array([0, 0, 0, 1, UNSCORED])
    bins = calibration.reliability(probabilities, labels)
    assert bins.shape == (15, 3)
    assert bins[8].tolist() == [3, pytest.approx(0.6 + 0.6 + 0.58), 2]
    assert bins[14].tolist() == [1, 0.95, 1]
    assert bins[:, 0].sum() == 4
    expected = 3 / 4 * abs(1.78 / 3 - 2 / 3) + 1 / 4 * 0.05
    np.testing.assert_allclose(calibration.expected_calibration_error(bins), expected)
    halves = [calibration.reliability(probabilities[i], labels[i]) for i in ([0, 3], [1, 2, 4])]
    np.testing.assert_allclose(sum(halves), bins)
    assert calibration.expected_calibration_error(np.zeros((15, 3))) == 0
