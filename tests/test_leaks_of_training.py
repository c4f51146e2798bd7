"""Nothing that training may not know reaches it: labels, test conversations, the future, seeds."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from configs import clstm_ef, clstm_lf, mman
from configs.ablations import joint, no_context
from mman_jax.data.parts import prepare
from mman_jax.data.synthetic import process
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.training.trainer import Trainer
from mman_jax.trial.config import network as settings
from tests import tiny

SYSTEMS = {
    "mman": mman,
    "clstm_lf": clstm_lf,
    "clstm_ef": clstm_ef,
    "no_context": no_context,
    "joint": joint,
}


# Permuted labels.


@pytest.fixture(scope="module")
def learnable():
    """Enough synthetic conversations for a small system to learn from: 60, 8 and 40."""
    return prepare(tiny.corpus((60, 8, 40), seed=2))


def accuracy_on_test(parts, labels):
    config = tiny.dense(epochs=25)
    config.train.towers.learning_rate.default = 1e-2
    trainer, _ = tiny.trainer(config, parts)
    [counts] = tiny.last(trainer, labels, [0]).finished["fusion"].test[0]
    return counts.trace() / counts.sum()


def chance(labels):
    """The test accuracy of the best guess that looks at no feature, and its standard error."""
    scored = labels["test"][labels["test"] >= 0]
    share = np.bincount(scored).max() / len(scored)
    return share, np.sqrt(share * (1 - share) / len(scored))


def test_permuted_training_labels_give_chance_and_the_true_ones_far_more(learnable):
    labels = tiny.trainer(tiny.dense(), learnable)[1]
    scored = labels["train"] >= 0
    permuted = labels["train"].copy()
    permuted[scored] = np.random.default_rng(0).permutation(permuted[scored])
    share, error = chance(labels)

    assert accuracy_on_test(learnable, labels | {"train": permuted}) < share + 3 * error
    assert accuracy_on_test(learnable, labels) > share + 10 * error


# Test conversations.


def change(corpus, part, random):
    """The corpus with other features and other labels in one part of it."""
    features = {name: array.copy() for name, array in corpus.features.items()}
    labels = corpus.labels.copy()
    for index in np.flatnonzero(np.array(corpus.split) == part):
        here = corpus.utterances(int(index))
        labels[here] = (labels[here] + 1) % len(corpus.label_names)
        for array in features.values():
            array[here] += 100 * random.standard_normal(array[here].shape).astype(np.float32)
    return dataclasses.replace(corpus, features=features, labels=labels)


def train(corpus, streamed=False):
    """The parts, and every snapshot of two seeds, copied to the host."""
    parts = prepare(corpus)
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3), parts, seeds=2)
    if streamed:
        trainer = Trainer(
            trainer.system,
            trainer.settings,
            parts.rows,
            trainer.classes,
            trainer.mesh,
            stream=True,
        )
    return parts, tiny.kept(trainer.run(labels, [0, 1]))


def known(snapshot):
    """All of a snapshot that test conversations may not reach."""
    state, history = snapshot.state._asdict(), snapshot.history._asdict()
    of_test = {name: state.pop(name) for name in ("test", "oracle")}
    return (state, history), of_test | {"accuracy": history.pop("test_accuracy")}


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_changed_test_conversations_reach_nothing_but_their_own_scores(streamed):
    corpus = tiny.corpus()
    changed = change(corpus, "test", np.random.default_rng(0))
    (parts, expected), (other_parts, found) = (train(x, streamed) for x in (corpus, changed))

    statistics = dataclasses.asdict(parts.scaling)
    chex.assert_trees_all_equal(dataclasses.asdict(other_parts.scaling), statistics)
    for one, other in zip(expected, found, strict=True):
        (kept, of_test), (other_kept, other_of_test) = known(one), known(other)
        chex.assert_trees_all_equal(other_kept, kept)
        assert not np.array_equal(other_of_test["accuracy"], of_test["accuracy"])


def test_changed_validation_conversations_reach_no_statistic_and_no_step():
    corpus = tiny.corpus()
    changed = change(corpus, "valid", np.random.default_rng(0))
    (parts, [first, *_]), (other_parts, [other, *_]) = train(corpus), train(changed)

    statistics = dataclasses.asdict(parts.scaling)
    chex.assert_trees_all_equal(dataclasses.asdict(other_parts.scaling), statistics)
    chex.assert_trees_all_equal(other.state.params, first.state.params)
    np.testing.assert_array_equal(other.history.test_accuracy, first.history.test_accuracy)
    assert not np.array_equal(other.history.valid_loss, first.history.valid_loss)


# The future.


@pytest.fixture(scope="module", params=SYSTEMS)
def model(request):
    """A system with random parameters."""
    config = tiny.shrink(SYSTEMS[request.param].get_config())
    parts = prepare(tiny.corpus())
    dims = parts.corpus.dims
    network = build(settings(config), list(dims), len(process.EMOTIONS))
    params = tiny.params(network, dims, seeds=1)
    return Model(params, parts.scaling, config.network, dims, process.EMOTIONS, {})


def test_a_changed_future_changes_no_past_answer(model):
    corpus = tiny.corpus(seed=1)
    random = np.random.default_rng(1)
    position = np.concatenate([np.arange(length) for length in corpus.lengths])
    later = position >= 5
    noise = {
        m: random.standard_normal(x.shape) * later[:, None] for m, x in corpus.features.items()
    }
    features = {m: x + noise[m].astype(np.float32) for m, x in corpus.features.items()}

    before = model.probabilities(corpus)
    after = model.probabilities(dataclasses.replace(corpus, features=features))
    np.testing.assert_array_equal(after[~later], before[~later])
    assert np.all((after != before).any(1)[later])


# Seeds.


def test_a_seed_alone_has_bit_for_bit_the_parameters_it_has_among_ten():
    config = tiny.dense(dropout=0.3, epochs=2)
    trainer, labels = tiny.trainer(config, seeds=10)
    ten = tiny.last(trainer, labels, range(10))
    alone = tiny.last(tiny.trainer(config)[0], labels, [7])

    def of(snapshot, index):
        outcomes = {
            name: outcome._replace(history=None)[:-1] for name, outcome in snapshot.finished.items()
        }
        return jax.tree.map(lambda x: np.asarray(x[index]), (snapshot.state, outcomes))

    chex.assert_trees_all_equal(of(alone, 0), of(ten, 7))
    best = ten.state.best["towers_text"]["kernel"]
    assert len(np.unique(best, axis=0)) == 10
