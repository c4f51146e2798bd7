"""Every kind of task passes `check_task`, and a broken one is named by it."""

import dataclasses

import numpy as np
import pytest

from mman_jax.tasks import Classes, Numbers, choose, ratings
from mman_jax.tasks.losses import CrossEntropy
from mman_jax.tasks.numbers import MAE
from mman_jax.testing import check_task
from tests.data import small

NAMES = ("calm", "angry", "other")


@pytest.fixture(scope="module")
def corpus():
    random = np.random.default_rng(0)
    labels = random.integers(-1, 3, 24).astype(np.int32)
    votes = {name: ((labels == c) * 2).astype(np.int32) for c, name in enumerate(NAMES)}
    votes["calm"] += random.integers(0, 2, 24).astype(np.int32)
    sentiment = random.uniform(-2.9, 2.9, 24).astype(np.float32)
    sentiment[::5] = np.nan
    return small.corpus(
        lengths=(10, 14), labels=labels, label_names=NAMES, votes=votes,
        targets={"sentiment": sentiment, "stars": random.uniform(1, 5, 24).astype(np.float32)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "settings"),
    [
        ({}, {"class_weights": True, "label_smoothing": 0.1}),
        ({"learnt": "votes"}, {}),
        ({"target": "sentiment", "classes": 5}, {}),
        ({"target": "sentiment"}, {}),
        ({"target": "sentiment,stars"}, {"loss": "mse"}),
        ({"target": "sentiment,stars"}, {"loss": "ccc"}),
    ],
    ids=lambda x: "-".join(map(str, x.values())) if isinstance(x, dict) else str(x),
)
def test_every_kind_passes(corpus, chosen, settings):
    (task,) = choose(corpus, **chosen)
    check_task(task, corpus, {"select": "loss", "class_weights": False} | settings)


class Miscounted(Classes):
    def counts(self, labels):
        return super().counts(np.where(labels == 0, -1, labels))


class Shifted(Classes):
    def labels(self, corpus):
        return (super().labels(corpus) + 1).astype(np.int32)


class Greedy(Classes):
    """Its loss counts what is not scored as the first class."""

    def objective(self, settings):
        return GreedyLoss(len(self.classes))


class GreedyLoss(CrossEntropy):
    def loss(self, answers, labels, reference, total):
        return super().loss(answers, np.maximum(labels, 0), reference, total)


class Backwards(Classes):
    def objective(self, settings):
        return BackwardsLoss(len(self.classes))


class BackwardsLoss(CrossEntropy):
    def loss(self, answers, labels, reference, total):
        return super().loss(-answers, labels, reference, total)


class Averaged(Classes):
    """Its tallies are shares, which do not add up."""

    def objective(self, settings):
        return AveragedLoss(len(self.classes))


class AveragedLoss(CrossEntropy):
    def tally(self, answers, labels, reference):
        counts = super().tally(answers, labels, reference)
        return counts / counts.sum()


class Local(Numbers):
    """Its loss is divided by the weight of each device."""

    def objective(self, settings):
        return LocalLoss("l1", self.targets)


class LocalLoss(type(Numbers("", ("x",)).objective({"select": "loss"}))):
    def loss(self, answers, labels, reference, total):
        summed, weight = super().loss(answers, labels, reference, total)
        return summed / weight, weight / weight


class Ordered(Classes):
    def tally(self, answers, labels, reference=None):
        return super().tally(answers[: len(answers) // 2], labels[: len(labels) // 2])


class Rewarding(Numbers):
    """Its error is higher for better answers."""

    def score(self, key, tallies):
        return -super().score(key, tallies)


class Silent(Classes):
    def scores(self, tallies):
        scores = super().scores(tallies)
        del scores["unweighted_recall"]
        return scores


class Upward(Numbers):
    @property
    def headline(self):
        return dataclasses.replace(MAE, higher_is_better=True)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Miscounted, "Miscounted: labels: counts"),
        (Shifted, "Shifted: labels: a class outside"),
        (Greedy, "Greedy: unscored utterances: .* the loss"),
        (Backwards, "Backwards: loss: descent on it"),
        (Averaged, "Averaged: tallies: .*two batches"),
        (Local, "Local: loss: .*two devices"),
        (Ordered, "Ordered: "),
        (Rewarding, "Rewarding: "),
        (Silent, "Silent: results: .*unweighted_recall"),
        (Upward, "Upward: "),
    ],
)
def test_a_broken_task_is_named(corpus, kind, problem):
    task = kind("mine", NAMES, np.arange(3, dtype=np.int32)) if issubclass(kind, Classes) else kind(
        "mine", ("stars",), (ratings.target("stars", corpus.targets["stars"]),)
    )  # fmt: skip
    with pytest.raises(AssertionError, match=problem):
        check_task(task, corpus)
