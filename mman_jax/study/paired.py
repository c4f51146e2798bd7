"""Two trials' answers to the same utterances compared by a score, as sure as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data.scales import Target
from mman_jax.errors import InputError, nearest
from mman_jax.evaluation import ratings, significance
from mman_jax.evaluation.metrics import METRICS
from mman_jax.study import claims
from mman_jax.trial import results

Task = Mapping[str, Any]
LESS_IS_BETTER = ("mae",)


def chosen(score: str, task: Task) -> str:
    """The score to compare by; if none is named accuracy, or of numbers the mean absolute error.

    Args:
        score: its name, or empty.
        task: what `pooled.read` gives of one.

    Raises:
        InputError: one that the task does not have.
    """
    has = scores(task)
    if not score:
        return has[0]
    if score not in has:
        raise InputError("score", f"unknown {score!r:.40}", nearest(score, has))
    return score


def scores(task: Task) -> tuple[str, ...]:
    """Names of the scores that a task has, the first of which it is told by."""
    called = ratings.names(task["test"]) if results.targets_of(task) else METRICS
    return tuple(name for name in called if name in task["test"])


def compare(
    first: np.ndarray, second: np.ndarray, utterances: Mapping[str, np.ndarray], task: Task,
    score: str,
) -> dict[str, Any]:  # fmt: skip
    """How much better the first trial is than the second.

    Args:
        first: answers [S, N] of one trial's seeds, of T targets [S, N, T].
        second: of the other's.
        utterances: the `conversation` and the `label` of each.
        task: what both have learnt.
        score: by which; where less is better its sign is turned. McNemar's test is of accuracy.
    """
    if score == "accuracy":
        return claims.compare(first, second, utterances, len(task["classes"]))
    targets = results.targets_of(task)
    sign = -1 if score in LESS_IS_BETTER else 1

    def better(sums: np.ndarray) -> np.ndarray:
        return sign * (ratings.scores(sums, targets)[score] if targets else METRICS[score](sums))

    sums = [by_conversation(answers, utterances, task) for answers in (first, second)]
    found = significance.bootstrap_score(better, *sums)
    return {
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p_bootstrap": found.p,
    }


def by_conversation(
    answers: np.ndarray, utterances: Mapping[str, np.ndarray], task: Task
) -> np.ndarray:
    """Counts [S, V, C, C] of answers to each of V conversations; of T targets sums [S, V, T, K]."""
    targets, labels = results.targets_of(task), utterances["label"]
    _, which = np.unique(utterances["conversation"], return_inverse=True)
    several = []
    for seed in answers:
        each = _sums(seed, labels, targets) if targets else _counts(seed, labels, task["classes"])
        found = np.zeros((which.max() + 1, *each.shape[1:]))
        np.add.at(found, which, each)
        several.append(found)
    return np.stack(several)


def _counts(answers: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    return np.eye(len(classes))[labels][:, :, None] * np.eye(len(classes))[answers][:, None]


def _sums(answers: np.ndarray, labels: np.ndarray, targets: Sequence[Target]) -> np.ndarray:
    # Of the training part's mean nothing is asked here.
    nothing = np.zeros(len(targets), np.float32)
    own = jax.vmap(lambda x, y: ratings.sums(x[None], y[None], nothing, targets))
    return np.asarray(own(np.float32(answers), np.float32(labels)), np.float64)
