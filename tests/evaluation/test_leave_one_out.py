"""The classifier of few examples, and its leave-one-out predictions."""

import numpy as np
import pytest

from mman_jax.evaluation import leave_one_out


@pytest.fixture
def examples():
    random = np.random.default_rng(0)
    labels = np.arange(24) % 3
    return random.normal(0, 1, (24, 8)) + 3 * np.eye(3, 8)[labels], labels


def test_it_learns_and_its_gradient_is_zero(examples):
    features, labels = examples
    found = leave_one_out.fit(features, labels, 3)
    assert (found.probabilities(features).argmax(1) == labels).all()
    # At the optimum the mean probability of a class is its share, as nothing penalises that weight.
    np.testing.assert_allclose(found.probabilities(features).mean(0), 1 / 3, atol=1e-4)
    np.testing.assert_allclose(found.weights.sum(1), 0, atol=1e-6)
    scaled = leave_one_out.fit(features * 100 - 7, labels, 3)
    np.testing.assert_allclose(scaled.weights, found.weights, atol=1e-3)


def test_an_example_has_no_say_in_its_own_answer(examples):
    features, labels = examples
    before = leave_one_out.left_out(features, labels, 3)
    other = labels.copy()
    other[5] = (other[5] + 1) % 3
    after = leave_one_out.left_out(features, other, 3)
    np.testing.assert_allclose(after[5], before[5], atol=1e-9)
    assert np.abs(after - before).max() > 1e-3
    far = features.copy()
    far[5] += 1e3  # would move the scale of all
    moved = leave_one_out.left_out(far, labels, 3)
    alone = leave_one_out.fit(np.delete(features, 5, 0), np.delete(labels, 5), 3)
    np.testing.assert_allclose(moved[5], alone.probabilities(far[5:6])[0], atol=1e-9)


@pytest.mark.e2e
def test_without_evidence_it_is_no_better_than_chance_as_shuffles_tell(monkeypatch):
    monkeypatch.setattr(leave_one_out, "_FITS", 80)
    # Of balanced labels far fewer than half are right.
    random, labels = np.random.default_rng(2), np.arange(8) % 2
    right, shuffled = [], []
    for _ in range(4):
        features = random.normal(0, 1, (8, 30))
        right.append((leave_one_out.left_out(features, labels, 2).argmax(1) == labels).sum())
        shuffled.append(leave_one_out.by_chance(features, labels, 2))
    assert np.mean(right) < 3
    assert abs(np.mean(right) - np.mean(shuffled)) < 2


def test_constant_features_are_no_trouble():
    features = np.ones((4, 2))
    found = leave_one_out.fit(features, np.array([0, 0, 0, 1]), 2).probabilities(features)
    np.testing.assert_allclose(found[:, 0], 0.75, atol=1e-3)


def test_interval_by_hand():
    # Wilson's: (8 + z2 / 2) / (10 + z2) and z sqrt(8 * 2 / 10 + z2 / 4) / (10 + z2) about it.
    square = 1.959964**2
    centre = (8 + square / 2) / (10 + square)
    half = np.sqrt(square) * np.sqrt(1.6 + square / 4) / (10 + square)
    np.testing.assert_allclose(
        leave_one_out.interval(8, 10), (centre - half, centre + half), atol=1e-6
    )
