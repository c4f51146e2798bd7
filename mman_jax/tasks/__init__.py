"""Tasks: classes, soft labels from votes, and numbers, each kind in its own class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.folds import PLACE, Fold
from mman_jax.errors import InputError, nearest
from mman_jax.tasks import numbers
from mman_jax.tasks.classes import Classes
from mman_jax.tasks.numbers import Numbers
from mman_jax.tasks.protocols import tasks
from mman_jax.tasks.ratings import Target
from mman_jax.tasks.task import Task
from mman_jax.tasks.votes import Votes

__all__ = ["Classes", "Numbers", "Task", "Votes", "check_folds", "choose", "from_results", "tasks"]

LABELS = ("label", "votes")
"""Sources of the classes to learn: one label for each utterance, or the votes of its raters."""


def choose(
    corpus: Corpus,
    protocol: str = "auto",
    target: str = "",
    classes: int = 0,
    learnt: str = "label",
) -> tuple[Task, ...]:
    """Returns the tasks that the settings select for a corpus.

    Args:
        target: `config.data.target`: names of targets, separated by commas; empty: the labels.
        classes: `config.data.classes`: number of classes into which the target is cut; 0 for
            numbers.
        learnt: `config.train.labels`, one of `LABELS`.

    Raises:
        InputError: an unusable protocol, target, number of classes, or votes.
    """
    if learnt not in LABELS:
        raise InputError("config.train.labels", repr(learnt), nearest(learnt, LABELS))
    names = [name.strip() for name in target.split(",") if name.strip()]
    if names:
        if learnt != "label":
            found = f"{learnt!r} and a target ({target})"
            raise InputError("config.train.labels", found, "one of the two")
        return (numbers.task(corpus, names, protocol, classes),)
    if classes:
        found = f"{classes} without a target to cut them from"
        raise InputError("config.data.classes", found, "data.target as well")
    return tasks(corpus, protocol, soft=learnt == "votes")


def from_results(scores: Mapping[str, Any], name: str = "") -> Task:
    """Returns the task of stored results; it scores and formats, but reads no labels from a corpus.

    Args:
        name: name of the task; by default the protocol of the results.
    """
    name = name or scores.get("protocol", "")
    if scores.get(Numbers.kind):
        targets = tuple(Target(**target) for target in scores[Numbers.kind])
        return Numbers(name, tuple(target.name for target in targets), targets)
    return (Votes if scores.get("votes") else Classes)(name, tuple(scores.get(Classes.kind, ())))


def of_model(names: Sequence[str], reference: np.ndarray | None) -> Task:
    """Returns the task of a trained model; it predicts, but reads no labels from a corpus."""
    return (Classes if reference is None else Numbers)("", tuple(names))


def check_folds(
    corpus: Corpus, folds: Sequence[Fold], tasks: Sequence[Task], setting: str = PLACE
) -> tuple[str, ...]:
    """Checks folds for parts that cannot be trained on or scored.

    Args:
        setting: the setting that asks for the folds, for messages.

    Returns:
        Notices of classes that a test part lacks, which is allowed, because scores are pooled over
        folds.

    Raises:
        InputError: a part (except an empty test part) has no scored utterance, or training lacks a
            class of the corpus or has a constant target; the message names the fold, and the class
            or the target.
    """
    return tuple(
        notice
        for task in tasks
        for fold in folds
        for notice in task.check_fold(corpus, fold.split, fold.name, setting)
    )
