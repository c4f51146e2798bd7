import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.tasks import Classes, Numbers, ratings
from mman_jax.tasks.losses import (
    CrossEntropy,
    NumberLoss,
    balanced_weights,
    ccc,
    cross_entropy,
    l1,
    mse,
)
from mman_jax.types import UNSCORED

ONES = np.ones(3, np.float32)


def draw(rows=4, utterances=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, utterances, classes)).astype(np.float32)
    labels = rng.integers(UNSCORED, classes, (rows, utterances)).astype(np.int32)
    return logits, labels


def test_by_hand():
    # Softmax of log p is p.
    logits = np.log(np.float32([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.2, 0.7, 0.1]] * 2]))
    labels = np.int32([[0, 1], [2, UNSCORED]])
    total, weight = cross_entropy(logits, labels, ONES)
    np.testing.assert_allclose(total, -np.log(0.5) - np.log(0.1) - np.log(0.1), rtol=1e-6)
    assert weight == 3
    total, weight = cross_entropy(logits, labels, np.float32([1, 2, 4]))
    np.testing.assert_allclose(total, -np.log(0.5) - 2 * np.log(0.1) - 4 * np.log(0.1), rtol=1e-6)
    assert weight == 7
    assert (total.dtype, weight.dtype, total.shape, weight.shape) == (jnp.float32,) * 2 + ((),) * 2


def test_gradient_is_weight_times_probability_less_one_hot():
    logits, labels = draw()
    weights = np.float32([0.5, 1, 3])
    actual = jax.grad(lambda x: cross_entropy(x, labels, weights)[0])(logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    scored = labels != UNSCORED
    expected = (probabilities - np.eye(3)[labels]) * (weights[labels] * scored)[..., None]
    assert 0 < scored.sum() < scored.size
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    assert not np.any(np.asarray(actual)[~scored])


def test_nothing_scored_and_far_off_logits_stay_finite():
    logits, labels = draw()
    value = jax.value_and_grad(lambda x, y: cross_entropy(x, y, ONES), has_aux=True)
    (total, weight), gradient = value(logits, np.full_like(labels, UNSCORED))
    assert (total, weight, np.abs(gradient).max()) == (0, 0, 0)
    (total, _), gradient = value(np.float32([[[1e4, -1e4, 0]]]), np.int32([[1]]))
    assert total == 2e4
    np.testing.assert_array_equal(gradient, [[[1, -1, 0]]])


@pytest.mark.parametrize(
    ("logits", "labels", "weights"),
    [((2, 3), (2,), 3), ((4, 5, 3), (4, 4), 3), ((4, 5, 3), (4, 5), 2)],
)
def test_shapes_that_disagree_are_refused(logits, labels, weights):
    with pytest.raises(AssertionError):
        cross_entropy(np.zeros(logits), np.zeros(labels, np.int32), np.ones(weights))


def test_balanced_weights_by_hand():
    # Seven scored utterances, three classes, of 4, 2 and 1.
    labels = np.int32([[0, 0, 0, 1], [1, 0, 2, UNSCORED], [UNSCORED] * 4])
    np.testing.assert_allclose(balanced_weights(labels, 3), [7 / 12, 7 / 6, 7 / 3], rtol=1e-6)
    np.testing.assert_array_equal(balanced_weights(np.int32([[0, 1, 2]]), 3), ONES)
    # An absent class: the others weigh alike, and the whole as much as unweighted.
    labels = np.int32([[0, 0, 0, 2], [UNSCORED] * 4])
    weights = balanced_weights(labels, 3)
    np.testing.assert_allclose(weights, [4 / 6, 1, 4 / 2], rtol=1e-6)
    total, weight = cross_entropy(np.zeros((2, 4, 3), np.float32), labels, weights)
    np.testing.assert_allclose((total, weight), (4 * np.log(3), 4), rtol=1e-6)


@pytest.mark.parametrize("shares", [False, True])
def test_the_focal_loss_counts_sure_predictions_less(shares):
    logits = jnp.log(jnp.array([[[0.9, 0.1], [0.5, 0.5]]]))
    labels = jnp.eye(2)[None] if shares else jnp.array([[0, 1]])
    total, weight = cross_entropy(logits, labels, jnp.ones(2), focal=2.0)
    expected = -(0.1**2) * np.log(0.9) - 0.5**2 * np.log(0.5)
    np.testing.assert_allclose((total, weight), (expected, 2), rtol=1e-4)
    plain = cross_entropy(logits, labels, jnp.ones(2))[0]
    sure = jax.grad(lambda x: cross_entropy(x, labels, jnp.ones(2), focal=0.5)[0])
    assert np.isfinite(sure(1e3 * logits)).all()
    assert total < plain


def test_label_smoothing_is_cross_entropy_to_a_softer_target():
    logits, labels = draw()
    total, weight = cross_entropy(logits, labels, ONES, smoothing=0.3)
    scored = labels != UNSCORED
    target = 0.7 * np.eye(3)[labels[scored]] + 0.1
    log_probabilities = np.asarray(jax.nn.log_softmax(logits))[scored]
    np.testing.assert_allclose(total, -(target * log_probabilities).sum(), rtol=1e-5)
    assert weight == scored.sum()


def test_shares_by_hand_and_of_one_class():
    logits = np.log(np.float32([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    shares = np.float32([[[0.75, 0.25, 0], [np.nan] * 3]])
    value = jax.value_and_grad(lambda x: cross_entropy(x, shares, ONES), has_aux=True)
    (total, weight), gradient = value(logits)
    assert total == pytest.approx(-0.75 * np.log(0.5) - 0.25 * np.log(0.25))
    assert weight == 1
    np.testing.assert_allclose(gradient[0], [[-0.25, 0, 0.25], [0, 0, 0]], atol=1e-6)
    # Shares of one class are a label of it.
    (logits, labels), weights = draw(), np.float32([0.5, 1, 3])
    shares = np.where((labels == UNSCORED)[..., None], np.nan, np.eye(3)[labels])
    shares = shares.astype(np.float32)
    for smoothing in (0.0, 0.2):
        both = [cross_entropy(logits, x, weights, smoothing) for x in (shares, labels)]
        np.testing.assert_allclose(*both, rtol=1e-5)
    np.testing.assert_allclose(balanced_weights(shares, 3), balanced_weights(labels, 3), rtol=1e-6)


def alone(x):
    return x


def numbers(seed=0):
    random = np.random.default_rng(seed)
    targets = random.normal(size=(4, 5, 2)).astype(np.float32)
    answers = (0.6 * targets + random.normal(size=targets.shape)).astype(np.float32)
    targets[1, :, 0], targets[:, 4] = np.nan, np.nan
    return answers, targets


def plain_ccc(answers, targets):
    found = []
    for t in range(targets.shape[-1]):
        own = ~np.isnan(targets[..., t])
        x, y = answers[..., t][own], targets[..., t][own]
        apart = x.var() + y.var() + (x.mean() - y.mean()) ** 2
        found.append(1 - 2 * ((x - x.mean()) * (y - y.mean())).mean() / apart)
    return sum(found) / len(found)


def test_losses_of_numbers_by_hand():
    answers, targets = numbers()
    errors = (answers - targets)[~np.isnan(targets)]
    sums = {l1: np.abs(errors).sum(), mse: (errors**2).sum(), ccc: 28 * plain_ccc(answers, targets)}
    for loss, expected in sums.items():
        value = jax.value_and_grad(lambda x, f=loss: f(x, targets, alone), has_aux=True)
        (total, weight), gradient = value(answers)
        assert total == pytest.approx(expected, rel=1e-5)
        assert weight == len(errors) == 28
        assert np.isfinite(gradient).all()
        assert not np.asarray(gradient)[np.isnan(targets)].any()
        with pytest.raises(AssertionError):
            loss(answers[..., :1], targets, alone)


def test_ccc_of_what_does_not_vary_is_finite():
    same = np.ones((1, 3, 1), np.float32)
    for targets in (same, same * np.nan, np.float32([[[1], [np.nan], [np.nan]]])):
        total, gradient = jax.value_and_grad(lambda x, y=targets: ccc(x, y, alone)[0])(same)
        assert np.isfinite(total)
        assert np.isfinite(gradient).all()


SETTINGS = {"select": "calibrated", "class_weights": False}


def targets(values):
    return tuple(ratings.target(f"t{i}", values[..., i]) for i in range(values.shape[-1]))


def test_the_reference_is_of_training_alone():
    values = np.random.default_rng(0).normal(70, 5, (3, 4, 2)).astype(np.float32)
    about = targets(values)
    training = values[:2].copy()
    training[0, :, 0] = np.nan
    mean, deviation = NumberLoss("l1", about).reference(training)
    np.testing.assert_allclose(mean, np.nanmean(training, (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(deviation, np.nanstd(training, (0, 1)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["l1", "mse", "ccc"])
def test_the_validation_loss_is_that_of_all_batches(kind):
    random = np.random.default_rng(1)
    values = random.uniform(1, 5, (4, 3, 1)).astype(np.float32)
    answers = random.normal(size=values.shape).astype(np.float32)
    learnt = NumberLoss(kind, targets(values))
    reference = learnt.reference(values)
    parts = [(answers[i : i + 2], values[i : i + 2], reference) for i in (0, 2)]
    tally = sum(learnt.tally(*part) for part in parts)[None]
    summed = sum(learnt.summed(*part, (1.0,)) for part in parts)[None]
    total, weight = learnt.loss(answers, values, reference, lambda x: x)
    found = learnt.valid_losses(tally, summed)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(float(total / weight), rel=1e-4)


def test_objectives_follow_the_settings():
    classes = Classes("", tuple("abcd"))
    numbers = Numbers("", ("t0",), targets(np.float32([[-1.0], [2.0]])))
    assert classes.objective(SETTINGS) == CrossEntropy(4)
    assert numbers.objective(SETTINGS).kind == "l1"
    assert numbers.objective(SETTINGS | {"loss": "mse"}).kind == "mse"
    for task, settings, words in (
        (numbers, {"loss": "l2"}, "unknown 'l2'"),
        (classes, {"loss": "l1"}, "'l1', of numbers"),
        (numbers, {"select": "recall"}, "loss or calibrated"),
    ):
        with pytest.raises(InputError, match=words):
            task.objective(SETTINGS | settings)
