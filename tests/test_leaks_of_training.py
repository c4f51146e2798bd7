"""Training depends on no test conversation and on no future utterance."""

import dataclasses

import chex
import numpy as np
import pytest

from configs import mman
from configs.ablations import no_context
from mman_jax.data.parts import prepare
from mman_jax.data.synthetic import process
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.training.trainer import Trainer
from mman_jax.trial.config import network as settings
from tests import tiny

CONFIGS = (mman, no_context)


def test_permuted_training_labels_give_chance_and_true_labels_far_more():
    config = tiny.dense(epochs=25)
    config.train.towers.learning_rate.default = 1e-2
    trainer, labels = tiny.trainer(config, prepare(tiny.corpus((60, 8, 40), seed=2)))
    scored = labels["train"] >= 0
    permuted = labels["train"].copy()
    permuted[scored] = np.random.default_rng(0).permutation(permuted[scored])
    tested = labels["test"][labels["test"] >= 0]
    chance = np.bincount(tested).max() / len(tested)  # of the best constant prediction
    error = np.sqrt(chance * (1 - chance) / len(tested))

    def accuracy(labels):
        [counts] = tiny.last(trainer, labels, [0]).finished["fusion"].test[0]
        return counts.trace() / counts.sum()

    assert accuracy(labels | {"train": permuted}) < chance + 3 * error
    assert accuracy(labels) > chance + 10 * error


def change(corpus, part):
    """The corpus with other features and labels in one part."""
    random = np.random.default_rng(0)
    features = {name: array.copy() for name, array in corpus.features.items()}
    labels = corpus.labels.copy()
    for index in np.flatnonzero(np.array(corpus.split) == part):
        here = corpus.utterances(int(index))
        labels[here] = (labels[here] + 1) % len(corpus.label_names)
        for array in features.values():
            array[here] += 100 * random.standard_normal(array[here].shape).astype(np.float32)
    return dataclasses.replace(corpus, features=features, labels=labels)


def train(corpus, streamed=False):
    """The scaling, and every snapshot of two seeds, copied to the host."""
    parts = prepare(corpus)
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3), parts, seeds=2)
    if streamed:
        arguments = trainer.settings, parts.rows, trainer.classes, trainer.mesh
        trainer = Trainer(trainer.system, *arguments, stream=True)
    return dataclasses.asdict(parts.scaling), tiny.kept(trainer.run(labels, [0, 1]))


def divide(snapshot):
    """Returns the results that test conversations must not affect, and those that they must."""
    state, history = snapshot.state._asdict(), snapshot.history._asdict()
    tested = {name: state.pop(name) for name in ("test", "oracle")}
    return (state, history), tested | {"accuracy": history.pop("test_accuracy")}


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_test_conversations_affect_only_their_own_scores(streamed):
    corpus = tiny.corpus()
    scaling, expected = train(corpus, streamed)
    other_scaling, found = train(change(corpus, "test"), streamed)
    chex.assert_trees_all_equal(other_scaling, scaling)
    for one, other in zip(expected, found, strict=True):
        (independent, tested), (other_independent, other_tested) = divide(one), divide(other)
        chex.assert_trees_all_equal(other_independent, independent)
        assert not np.array_equal(other_tested["accuracy"], tested["accuracy"])


def test_validation_conversations_affect_neither_statistics_nor_steps():
    corpus = tiny.corpus()
    (scaling, [first, *_]), (other_scaling, [other, *_]) = (
        train(x) for x in (corpus, change(corpus, "valid"))
    )
    chex.assert_trees_all_equal(other_scaling, scaling)
    chex.assert_trees_all_equal(other.state.params, first.state.params)
    np.testing.assert_array_equal(other.history.test_accuracy, first.history.test_accuracy)
    assert not np.array_equal(other.history.valid_loss, first.history.valid_loss)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_later_utterances_do_not_affect_earlier_predictions(config):
    config = tiny.shrink(config.get_config())
    parts, corpus = prepare(tiny.corpus()), tiny.corpus(seed=1)
    network = build(settings(config), list(corpus.dims), len(process.EMOTIONS))
    params = tiny.params(network, corpus.dims, seeds=1)
    model = Model(params, parts.scaling, config.network, corpus.dims, process.EMOTIONS, {})
    random = np.random.default_rng(1)
    later = np.concatenate([np.arange(length) for length in corpus.lengths]) >= 5
    features = {
        m: x + (random.standard_normal(x.shape) * later[:, None]).astype(np.float32)
        for m, x in corpus.features.items()
    }
    before = model.probabilities(corpus)
    after = model.probabilities(dataclasses.replace(corpus, features=features))
    np.testing.assert_array_equal(after[~later], before[~later])
    assert np.all((after != before).any(1)[later])
