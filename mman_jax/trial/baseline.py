"""The linear baseline of a trial, fitted to the same training part and scored on the same parts."""

import dataclasses
import warnings
from typing import Any, cast

import numpy as np

from mman_jax.errors import InputError
from mman_jax.systems import build
from mman_jax.systems.estimator import Estimator
from mman_jax.tasks import Task
from mman_jax.tasks.task import any_scored
from mman_jax.training.learner import Fitting
from mman_jax.training.state import refitted
from mman_jax.trial import analysis, results
from mman_jax.trial.progress import Preemption, Progress
from mman_jax.trial.trial import Trial

NAME = "linear"
"""Name of the system that is the baseline."""

_LARGEST = 1e8
"""Limit on N * min(N, D) for N training utterances with D features, for fits of a few minutes."""


def fit(
    trial: Trial, last: Trial, task: Task, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Fits the baseline of a trial, and scores it.

    Args:
        last: the trial that was retrained on training and validation, or the same one.

    Returns:
        The field `baseline` of `results.json`, and the fields of `analysis.json`; None if the
        system is the baseline, or if it cannot be fitted.
    """
    if trial.config.system == NAME:
        return None
    try:
        system = make(trial, task)
    except InputError as error:
        progress.notice(f"no linear baseline: {error}")
        return None
    fitted = []
    for each in (trial, last) if trial.refit else (trial,):
        rows, objective = each.parts.rows, each.trainer.objective.plain()
        linear = dataclasses.replace(each, trainer=Fitting(system, rows, objective))
        labels = {part: task.hard(x) for part, x in each.labels[task.name].items()}
        with Preemption.at_once(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an approximate minimum is good enough
            (snapshot,) = linear.trainer.run(labels, [0])
        fitted.append(snapshot)
    finished = refitted(fitted[0].finished, snapshot.finished)
    scores = results.of_task(task, finished, linear.heads)
    heads = analysis.answered(linear, task, snapshot.state.best, np.array([True]))
    test = heads[system.head]["test"]
    return {"system": NAME} | {part: scores[part] for part in analysis.PARTS}, {
        "baseline_answers": analysis.scored_answers(task, test, linear.reference(task)),
        "baseline_counts": results.tallies(finished, linear.heads)["system"],
    }


def make(trial: Trial, task: Task) -> Estimator:
    """Builds the baseline of a trial.

    Raises:
        InputError: it cannot answer the task, is not installed, or would take too long.
    """
    dims = trial.parts.cells.dims
    system = cast(Estimator, build({"system": NAME}, list(dims), len(task.classes)))
    system.check_data(task.outputs, trial.parts.cells.kind)
    system.check_installed()
    count = int(any_scored(trial.labels[task.name]["train"]).sum())
    if count * min(count, sum(dims.values())) > _LARGEST:
        found = "too many training utterances and features"
        raise InputError("data", found, f"a product of at most {_LARGEST:.0e}")
    return system
