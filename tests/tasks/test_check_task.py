"""Every kind of task passes `check_task`, which names the property that a broken one violates."""

import dataclasses

import numpy as np
import pytest

from mman_jax.tasks import Classes, Numbers, choose, ratings
from mman_jax.tasks.losses import CrossEntropy, NumberLoss
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


def broken(kind, name, **methods):
    """A subclass of a task or a loss with other methods."""
    return type(name, (kind,), methods)


def with_loss(name, method, change):
    """Classes whose loss has another method; `change` gets the inherited one."""
    inherited = getattr(CrossEntropy, method)
    loss = broken(CrossEntropy, "Loss", **{method: lambda *given: change(inherited, *given)})
    return broken(Classes, name, objective=lambda task, _: loss(len(task.classes)))


def averaged(tally, *given):
    counts = tally(*given)
    return counts / counts.sum()


def silent(task, tallies):
    scores = Classes.scores(task, tallies)
    return {key: score for key, score in scores.items() if key != "unweighted_recall"}


class LocalLoss(NumberLoss):
    """It is divided by the weight of each device."""

    def loss(self, answers, labels, reference, total):
        summed, weight = super().loss(answers, labels, reference, total)
        return summed / weight, weight / weight


BROKEN = [
    (
        broken(
            Classes,
            "Miscounted",
            counts=lambda task, labels: Classes.counts(task, np.where(labels == 0, -1, labels)),
        ),
        "labels: counts",
    ),
    (
        broken(Classes, "Shifted", labels=lambda task, x: Classes.labels(task, x) + np.int32(1)),
        "labels: a class outside",
    ),
    (  # what is not scored counts as the first class
        with_loss("Greedy", "loss", lambda loss, own, x, y, *rest: loss(
            own, x, np.maximum(y, 0), *rest)),
        "unscored utterances: .* the loss",
    ),
    (
        with_loss("Backwards", "loss", lambda loss, own, x, *rest: loss(own, -x, *rest)),
        "loss: descent on it",
    ),
    (with_loss("Averaged", "tally", averaged), "tallies: .*two batches"),
    (
        broken(Numbers, "Local", objective=lambda task, _: LocalLoss("l1", task.targets)),
        "loss: .*two devices",
    ),
    (
        broken(Classes, "Ordered", tally=lambda task, x, y, _=None: Classes.tally(
            task, x[: len(x) // 2], y[: len(y) // 2])),
        "",
    ),
    (
        broken(Numbers, "Rewarding", score=lambda task, *given: -Numbers.score(task, *given)),
        "",
    ),
    (broken(Classes, "Silent", scores=silent), "results: .*unweighted_recall"),
    (broken(Numbers, "Upward", headline=dataclasses.replace(MAE, higher_is_better=True)), ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "problem"), BROKEN, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_task_is_named(corpus, kind, problem):
    task = kind("mine", NAMES, np.arange(3, dtype=np.int32)) if issubclass(kind, Classes) else kind(
        "mine", ("stars",), (ratings.target("stars", corpus.targets["stars"]),)
    )  # fmt: skip
    with pytest.raises(AssertionError, match=f"{kind.__name__}: {problem}"):
        check_task(task, corpus)
