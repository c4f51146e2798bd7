import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.systems import linear
from mman_jax.systems.linear import Linear
from mman_jax.types import UNSCORED

NEEDS = "linear machines need scikit-learn: pip install 'mman_jax[svm]'"


def utterances(classes=3, count=90, width=6, seed=0):
    """Two modalities whose means depend on the class; some utterances have no label."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % classes)
    centres = random.normal(0, 1, (classes, width))
    x = random.normal(centres[labels], 1).astype("f4")
    features = {"text": x[:, :2], "speech": x[:, 2:]}
    return features, np.where(random.random(count) < 0.1, UNSCORED, labels)


def test_machines_of_pairs_are_scikit_learn_s():
    svm = pytest.importorskip("sklearn.svm", reason=NEEDS)
    features, labels = utterances()
    system = Linear(("text", "speech"), 3, cost=0.1)
    fitted = system.fit(features, labels, 0)
    x, scored = np.concatenate(list(features.values()), axis=1), labels != UNSCORED
    machine = svm.SVC(kernel="linear", C=0.1).fit(x[scored], labels[scored])
    expected = machine.decision_function(x)
    np.testing.assert_allclose(
        system.logits(fitted, features), fitted["slope"] * expected, atol=0.02
    )
    assert np.mean(system.logits(fitted, features).argmax(1) == expected.argmax(1)) > 0.98


@pytest.mark.parametrize("classes", [2, 3])
def test_many_utterances_are_fitted_by_logistic_regression(classes, monkeypatch):
    models = pytest.importorskip("sklearn.linear_model", reason=NEEDS)
    monkeypatch.setattr(linear, "_MACHINES", 0)
    features, labels = utterances(classes)
    system = Linear(("text", "speech"), classes, cost=0.5)
    fitted = system.fit(features, labels, 0)
    x, scored = np.concatenate(list(features.values()), axis=1), labels != UNSCORED
    model = models.LogisticRegression(C=0.5, max_iter=300).fit(x[scored], labels[scored])
    logits = system.logits(fitted, features) / fitted["slope"]
    expected = np.log(model.predict_proba(x))
    centred = [v - v.mean(1, keepdims=True) for v in (logits, expected)]
    np.testing.assert_allclose(*centred, atol=1e-2)


def test_more_features_than_utterances_give_the_same_machines():
    pytest.importorskip("sklearn", reason=NEEDS)
    features, labels = utterances(count=40)
    wide = {"text": np.tile(features["text"], 30) / np.float32(30**0.5), **features}
    wide["speech"] = np.tile(features["speech"], 30) / np.float32(30**0.5)
    system = Linear(("text", "speech"), 3)
    narrow_logits, wide_logits = (
        system.logits(system.fit(x, labels, 0), x) for x in (features, wide)
    )
    np.testing.assert_allclose(narrow_logits, wide_logits, atol=1e-3)


def test_logits_are_calibrated_by_utterances_left_out():
    """Labels that no feature distinguishes: every class is predicted with about its share."""
    pytest.importorskip("sklearn", reason=NEEDS)
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 120)
    features = {"text": random.normal(size=(120, 80)).astype("f4")}
    system = Linear(("text",), 3)
    logits = system.logits(system.fit(features, labels, 0), features)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    assert np.median(p.max(1)) < 0.6  # although nearly all training utterances are told apart


def test_a_class_without_utterances_is_never_predicted():
    pytest.importorskip("sklearn", reason=NEEDS)
    features, labels = utterances(2)
    system = Linear(("text", "speech"), 3)
    logits = system.logits(system.fit(features, labels, 0), features)
    assert np.isfinite(logits).all()
    assert (logits.argmax(1) < 2).all()


def test_one_class_is_refused():
    features, labels = utterances()
    with pytest.raises(InputError, match="training"):
        Linear(("text", "speech"), 3).fit(features, np.zeros_like(labels), 0)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", np.zeros((3, 5), np.float32)),
        ("offsets", np.full(3, np.nan, np.float32)),
        ("classes", np.full((3, 2), 7, np.int32)),
        ("slope", np.zeros((), np.float64)),
        ("bias", np.zeros(3, np.float32)),
    ],
)
def test_other_arrays_are_refused(name, array):
    fitted = {
        "weights": np.zeros((3, 6), np.float32),
        "offsets": np.zeros(3, np.float32),
        "classes": np.array([[0, 1], [0, 2], [1, 2]], np.int32),
        "slope": np.float32(1),
    }
    dims = {"text": 2, "speech": 4}
    Linear(("text", "speech"), 3).check(fitted, dims)
    with pytest.raises(InputError, match=name):
        Linear(("text", "speech"), 3).check(fitted | {name: array}, dims)


@pytest.mark.parametrize("width", [4, 90])
def test_numbers_are_fitted_by_ridge_regression(width):
    models = pytest.importorskip("sklearn.linear_model", reason=NEEDS)
    random = np.random.default_rng(0)
    x = random.normal(1, 2, (60, width)).astype("f4")
    numbers = np.stack([x[:, 0] - x[:, 1], random.normal(size=60)], axis=1) + 3
    numbers[:7, 1] = np.nan
    system = Linear(("text",), 2, cost=0.05)
    logits = system.logits(system.fit({"text": x}, numbers, 0), {"text": x})
    for y, predicted in zip(numbers.T, logits.T, strict=True):
        known = ~np.isnan(y)
        expected = models.Ridge(alpha=1 / 0.05).fit(x[known], y[known]).predict(x)
        np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_the_cost_of_ridge_regression_is_the_best_on_utterances_left_out():
    """Numbers that the features determine get the largest cost, and noise a small one."""
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 30)).astype("f4")
    determined, noise = x @ random.normal(size=30), random.normal(size=90)
    costs = {}
    for name, y in (("determined", determined), ("noise", noise)):
        chosen = Linear(("text",), 1).fit({"text": x}, y[:, None], 0)["weights"]
        alone = {
            cost: Linear(("text",), 1, cost).fit({"text": x}, y[:, None], 0)["weights"]
            for cost in linear.COSTS
        }
        (costs[name],) = (c for c, w in alone.items() if np.allclose(w, chosen))
    assert costs["determined"] == max(linear.COSTS)
    assert costs["noise"] <= 0.001
