"""Checks of the properties that every task must have."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mman_jax.data.corpus import Corpus
from mman_jax.tasks.task import Task, any_scored, to_json
from mman_jax.types import is_scored

SETTINGS = {"select": "loss", "class_weights": False}
"""Training settings with which a task's loss is checked."""

_STEPS, _RATE = 60, 0.1  # gradient descent on logits
_TOLERANCE = 1e-4


def check_task(
    task: Task, corpus: Corpus, settings: Mapping[str, Any] = SETTINGS, seed: int = 0
) -> None:
    """Checks the labels, the loss, the tallies and the scores of a task on a corpus.

    Args:
        corpus: a corpus with labels for the task, in which some utterances have no label.
        settings: training settings, as read by `Task.objective`.
        seed: random seed of the logits.

    Raises:
        AssertionError: The first violation, in the form `MyTask: loss: ...`.
    """
    case = _Case(task, corpus, settings, seed)
    for check in (_labels, _unscored, _loss, _tallies, _order, _best, _results, _formats):
        check(case)


class _Case:
    """A task with labels [N, ...] and logits [S, N, C] of two seeds."""

    def __init__(self, task: Task, corpus: Corpus, settings: Mapping[str, Any], seed: int):
        self.task, self.corpus = task, corpus
        self.labels = task.labels(corpus)
        self.training_labels = task.training_labels(corpus)
        self.objective = task.objective(settings)
        self.statistics = self.objective.reference(self.training_labels)
        self.reference = task.reference(self.training_labels)
        self.scored = any_scored(self.labels)
        shape = (2, len(self.labels), len(task.classes))
        self.logits = np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    def require(self, holds: Any, name: str, problem: str) -> None:
        """Raises an AssertionError that names the property if it is violated."""
        if not holds:
            raise AssertionError(f"{type(self.task).__name__}: {name}: {problem}")

    def require_close(self, first: Any, second: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal up to rounding."""
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
        self.require(
            all(np.allclose(x, y, _TOLERANCE, _TOLERANCE) for x, y in pairs), name, problem
        )

    def loss(self, logits: Any, labels: Any, total: Callable[[Any], Any] = lambda x: x) -> Any:
        """Computes the sum and the weight of the loss of one row of utterances."""
        return self.objective.loss(logits[None], labels[None], self.statistics, total)

    def tallies(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Computes the tallies of all seeds."""
        answers = self.task.answers(logits, self.reference)
        return np.stack([self.task.tally(x, labels, self.reference) for x in answers])

    def scores(self, tallies: np.ndarray) -> dict[str, np.ndarray]:
        """Computes every score that the task requires."""
        return {key: self.task.score(key, tallies) for key in self.task.required}


def _labels(case: _Case) -> None:
    task, labels, name = case.task, case.labels, "labels"
    count = len(task.classes)
    for values in (labels, case.training_labels):
        case.require(len(values) == len(case.corpus.labels), name, "not one for each utterance")
        if values.dtype == np.int32 and values.ndim == 1:
            inside = (values < count)[is_scored(values)] & (values >= 0)[is_scored(values)]
            case.require(inside.all(), name, f"a class outside 0 to {count - 1}")
        else:
            good = values.dtype == np.float32 and values.shape[1:] == (count,)
            expected = f"expected int32 [N], or float32 [N, {count}]"
            case.require(good, name, f"{values.dtype} {list(values.shape)}; {expected}")
    case.require(case.scored.any(), name, "no utterance of the corpus is scored")
    counts = task.counts(labels)
    case.require(tuple(counts) == task.classes, name, "counts are not by the names in `classes`")
    agree = sum(counts.values()) == is_scored(labels).sum()
    case.require(agree, name, "counts do not add up to the scored labels")


def _unscored(case: _Case) -> None:
    name = "unscored utterances"
    other = np.where(case.scored[:, None], case.logits[0], -7 * case.logits[1])
    loss = jax.jit(lambda x: case.loss(x, case.labels))
    before, after = (loss(x) for x in (case.logits[0], other))
    case.require_close(before, after, name, "their logits change the loss")
    before, after = (case.tallies(x[None], case.labels) for x in (case.logits[0], other))
    case.require_close(before, after, name, "their logits change the tally")
    gradient = np.asarray(jax.jit(jax.grad(lambda x: loss(x)[0]))(case.logits[0]))
    case.require(np.isfinite(gradient).all(), name, "the loss has a gradient that is not finite")
    case.require(not gradient[~case.scored].any(), name, "the loss has a gradient for them")


def _loss(case: _Case) -> None:
    """Requires gradient descent on logits to reduce the loss and improve the headline score."""
    mean, key = _mean_loss(case), case.task.headline.key
    optimizer = optax.adam(_RATE)

    @jax.jit
    def step(logits, state):
        updates, state = optimizer.update(jax.grad(mean)(logits), state)
        return optax.apply_updates(logits, updates), state

    start = logits = jnp.asarray(case.logits[0])
    state = optimizer.init(logits)
    for _ in range(_STEPS):
        logits, state = step(logits, state)
    case.require(mean(logits) < mean(start), "loss", "descent does not reduce it")
    tallies = case.tallies(np.stack([start, logits]), case.labels)
    first, last = case.task.score(key, tallies)
    sign = 1 if case.task.headline.higher_is_better else -1
    case.require(sign * last > sign * first, "loss", f"descent on it makes {key} worse")


def _mean_loss(case: _Case) -> Callable[[Any], Any]:
    def mean(logits: Any) -> Any:
        total, weight = case.loss(logits, case.training_labels)
        return total / weight

    return mean


def _tallies(case: _Case) -> None:
    name, labels, objective = "tallies", case.labels, case.objective
    half = len(labels) // 2
    tally = jax.jit(lambda x, y: objective.tally(x, y, case.statistics))
    full = tally(case.logits[:1], labels[None])
    halves = slice(None, half), slice(half, None)
    parts = [tally(case.logits[:1, at], labels[None, at]) for at in halves]
    case.require_close(full, sum(parts), name, "those of two batches do not add up")
    empty = objective.nothing(3)
    good = empty.shape == (3, *full.shape) and empty.dtype == full.dtype and not empty.any()
    case.require(good, name, "`nothing` is not zeros of their shape")
    scores = case.scores(case.tallies(case.logits[:1], labels))
    case.require_close(scores, case.scores(full[None]), name, "loss and task count differently")
    answers = case.task.answers(case.logits[0], case.reference)
    per_utterance = case.task.tally_each(answers[case.scored], labels[case.scored]).sum(0)[None]
    summed = case.scores(per_utterance)
    case.require_close(scores, summed, name, "those of utterances do not add up")
    _devices(case, half)


def _devices(case: _Case, half: int) -> None:
    """Requires the losses and gradients of two devices to add up to those of the full batch."""
    total = functools.partial(jax.lax.psum, axis_name="devices")
    # If the number of utterances is odd, the last one is left out, so that both halves are equal.
    logits = case.logits[0, : 2 * half].reshape(2, half, -1)
    labels = case.training_labels[: 2 * half].reshape(2, half, *case.training_labels.shape[1:])

    def of_device(logits, labels):
        return jax.value_and_grad(lambda x: case.loss(x, labels, total), has_aux=True)(logits)

    on_devices = jax.jit(jax.vmap(of_device, axis_name="devices"))
    (sums, weights), gradients = on_devices(logits, labels)
    flat, known = case.logits[0, : 2 * half], case.training_labels[: 2 * half]
    on_one = jax.jit(jax.value_and_grad(lambda x: case.loss(x, known), has_aux=True))
    (full, weight), gradient = on_one(flat)
    pairs = (sums.sum(), weights.sum()), (full, weight)
    case.require_close(*pairs, "loss", "those of two devices do not add up")
    gradients = gradients.reshape(gradient.shape)
    case.require_close(gradients, gradient, "loss", "gradients of two devices do not add up")


def _order(case: _Case) -> None:
    order = np.random.default_rng(1).permutation(len(case.labels))
    before = case.scores(case.tallies(case.logits, case.labels))
    after = case.scores(case.tallies(case.logits[:, order], case.labels[order]))
    case.require_close(before, after, "scores", "they depend on the order of utterances")


def _best(case: _Case) -> None:
    perfect = np.where(is_scored(case.labels), case.labels, np.zeros_like(case.labels))
    tally = case.task.tally(perfect, case.labels, case.reference)[None]
    best = case.scores(tally)
    others = case.scores(case.tallies(case.logits, case.labels))
    for key, value in best.items():
        sign = 1 if case.task.describe_score(key).higher_is_better else -1
        good = (sign * value >= sign * others[key]).all()
        case.require(good, "scores", f"{key} is better for other answers than for the labels")
    headline = case.task.headline
    if headline.is_share:
        reached = np.allclose(best[headline.key], 1 if headline.higher_is_better else 0)
        problem = f"{headline.key} of the labels themselves is {best[headline.key].item():g}"
        case.require(reached, "scores", problem)


def _results(case: _Case) -> None:
    """Requires the entries of `results.json`: every score over the seeds, and a description."""
    task, name = case.task, "results"
    scores = task.scores(case.tallies(case.logits, case.labels))
    for key in (task.headline.key, task.progress.key, *task.required):
        good = {"mean", "std", "per_seed"} <= set(scores.get(key, {}))
        case.require(good, name, f"no mean, std and per_seed of {key}")
    constant = scores.get(task.constant)
    case.require(isinstance(constant, float), name, f"no number {task.constant!r}")
    case.require(task.kind in task.describe(), name, f"`describe` lacks {task.kind!r}")
    try:
        json.dumps([scores, task.describe()], allow_nan=False)
    except (TypeError, ValueError) as error:
        case.require(False, name, f"no JSON: {error}")
    answers = task.answers(case.logits, case.reference)[:, case.scored]
    labels = case.labels[case.scored]
    stored = (to_json(answers), to_json(labels))
    pair = task.read_answers(*stored)
    pairs = zip(pair, (answers, labels), strict=True)
    same = all(np.allclose(x, y, rtol=1e-4, equal_nan=True) for x, y in pairs)
    case.require(same, name, "`read_answers` changes the stored answers")
    predictions = np.asarray(task.predict(case.logits, case.reference))[:, case.scored]
    decided = predictions.argmax(-1) if task.has_probabilities else predictions
    case.require_close(decided, answers, name, "`predict` and `answers` disagree")
    per_utterance = task.score_each(*pair)
    expected = task.score(task.headline.key, case.tallies(case.logits, case.labels))
    problem = f"the mean of `score_each` is not {task.headline.key}"
    if len(task.classes) == 1 or task.has_probabilities:  # otherwise a mean of means
        case.require_close(per_utterance.mean(1), expected, name, problem)


def _formats(case: _Case) -> None:
    task, name = case.task, "formats"
    names = task.score_names()
    first = next(iter(names))
    case.require(first == task.headline.key, name, f"`score_names` begins with {first!r}")
    for key in names:
        described = task.describe_score(key)
        case.require((described.key, described.label) == (key, names[key]), name,
                     f"`describe_score` and `score_names` disagree on {key!r}")  # fmt: skip
    texts = {task.headline.write(value) for value in (0.25, 0.75)}
    case.require(len(texts) == 2, name, "the headline score writes different values alike")
    better = {"mean": 1.0 if task.headline.higher_is_better else 0.0}
    worse = {"mean": 1.0 - better["mean"]}
    case.require(task.headline.gain(better, worse) > 0, name, "the headline's direction is wrong")
