import itertools
import sys
import types

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.systems import rozgic
from mman_jax.systems.rozgic import Rozgic, ensemble, nodes, splits, trees
from mman_jax.types import UNSCORED

NEEDS = "the trees need scikit-learn: pip install 'mman_jax[svm]'"


def drawn(classes, count=60, seed=0):
    """Utterances of two modalities; some have no class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = {
        "text": random.normal(labels[:, None], 1, (count, 3)).astype("f4"),
        "speech": random.normal(labels[:, None] % 2, 1, (count, 2)).astype("f4"),
    }
    labels[random.random(count) < 0.1] = UNSCORED
    return features, labels


def every_tree(members):
    """Each tree as the nodes that it has."""
    if len(members) == 1:
        return [[]]
    found = []
    for left, right in splits(members):
        for one, other in itertools.product(every_tree(left), every_tree(right)):
            found.append([(left, right), *one, *other])
    return found


@pytest.mark.parametrize(
    ("classes", "tree_count", "node_count"),
    [(2, 1, 1), (3, 3, 6), (4, 15, 25), (5, 105, 90), (6, 945, 301)],
)
def test_how_many_trees_and_nodes_there_are(classes, tree_count, node_count):
    assert trees(classes) == tree_count == len(every_tree(tuple(range(classes))))
    assert len(nodes(classes)) == node_count == len(set(nodes(classes)))


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_the_mean_is_that_over_all_trees(classes):
    first = np.random.default_rng(1).random((7, len(nodes(classes))))
    number = {node: i for i, node in enumerate(nodes(classes))}
    several = every_tree(tuple(range(classes)))
    total = np.zeros((7, classes))
    for tree in several:
        ways = np.ones((7, classes))
        for node in tree:
            left, right = node
            ways[:, left] *= first[:, number[node], None]
            ways[:, right] *= 1 - first[:, number[node], None]
        total += ways
    found = ensemble(first, classes)
    np.testing.assert_allclose(found, total / len(several), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)


def test_two_classes_are_one_machine():
    svm = pytest.importorskip("sklearn.svm", reason=NEEDS)
    features, labels = drawn(2)
    fitted = Rozgic(("text", "speech"), 2, cost=2.0).fit(features, labels, 0)
    joined = np.concatenate([features["text"], features["speech"]], axis=1)
    scored = labels != UNSCORED
    machine = svm.SVC(C=2.0, gamma="scale").fit(joined[scored], labels[scored] == 0)
    logits = Rozgic(("text", "speech"), 2).logits(fitted, features)
    # The machine's value, through a line.
    value = machine.decision_function(joined) * fitted["slopes"] + fitted["shifts"]
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], value, atol=1e-3)
    assert fitted["slopes"] > 0
    assert np.mean(logits.argmax(1)[scored] == labels[scored]) > 0.8


def test_four_classes_learn_and_their_probabilities_sum_to_one():
    pytest.importorskip("sklearn.svm", reason=NEEDS)
    features, labels = drawn(4, 120)
    system = Rozgic(("text", "speech"), 4)
    fitted = system.fit(features, labels, 0)
    assert all(isinstance(np.asarray(x), np.ndarray) and x.dtype == "f4" for x in fitted.values())
    again = system.fit(features, labels, 1)
    for name, x in fitted.items():
        np.testing.assert_array_equal(x, again[name])
    new, truth = drawn(4, 120, seed=2)
    logits = system.logits(fitted, new)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
    scored = truth != UNSCORED
    assert np.mean(logits.argmax(1)[scored] == truth[scored]) > 0.5


def test_what_is_not_labelled_changes_nothing():
    pytest.importorskip("sklearn.svm", reason=NEEDS)
    features, labels = drawn(3)
    system = Rozgic(("text",), 3)
    fitted = system.fit(features, labels, 0)
    scored = labels != UNSCORED
    alone = system.fit({"text": features["text"][scored]}, labels[scored], 0)
    for name, x in fitted.items():
        np.testing.assert_array_equal(x, alone[name])


def test_a_class_that_training_lacks_is_improbable():
    pytest.importorskip("sklearn.svm", reason=NEEDS)
    features, labels = drawn(3)
    labels = np.where(labels == 1, UNSCORED, labels)
    system = Rozgic(("text",), 3)
    found = np.exp(system.logits(system.fit(features, labels, 0), features))
    assert found[:, 1].max() < 1e-6
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_without_labels_or_scikit_learn_it_says_so(monkeypatch):
    features, labels = drawn(2)
    monkeypatch.setattr(rozgic, "require", lambda *_: types.SimpleNamespace(SVC=None))
    with pytest.raises(InputError, match="training: no labelled utterance"):
        Rozgic(("text",), 2).fit(features, np.full_like(labels, UNSCORED), 0)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(InputError, match="the package scikit-learn is missing; expected pip"):
        Rozgic(("text",), 2).fit(features, labels, 0)
