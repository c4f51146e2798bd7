"""Training again on training and validation together, for the epochs that were chosen."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.protocols import Task
from mman_jax.training.learner import Learner
from mman_jax.training.optimizer import plateau_of
from mman_jax.training.outcome import Outcome, Snapshot, StopAt, refitted, retrain_until
from mman_jax.trial import joining, training
from mman_jax.trial.prepared import Experiment, on_split
from mman_jax.trial.progress import Progress


def refit(
    experiment: Experiment,
    task: Task,
    chosen: Snapshot,
    workdir: pathlib.Path,
    progress: Progress,
    towers: Mapping[str, pathlib.Path],
) -> tuple[Experiment, Snapshot, float]:
    """Trains each head for about as many steps as its best epoch had come to, and scores it once.

    Args:
        experiment: by which the epochs were chosen.
        task: that is trained.
        chosen: the last snapshot of that.
        workdir: of the trial; checkpoints go to `refit`.
        progress: where progress is shown.
        towers: see `experiment.run`.

    Returns:
        The experiment with validation in training, the snapshot with the parameters of it and with
        what `outcome.refitted` says, and the seconds that it took.
    """
    split = experiment.parts.split
    whole = np.union1d(split.train, split.valid)
    again = on_split(experiment, dataclasses.replace(split, train=whole))
    stop_at = stopping_points(
        experiment.trainer, again.trainer, chosen.finished, experiment.config.train
    )

    def begin():
        return joining.begin(again, task, towers, again=True, stop_at=stop_at)

    snapshot, seconds = training.fit(
        again, task, workdir, progress, begin if towers else None, stop_at=stop_at
    )
    finished = refitted(chosen.finished, snapshot.finished)
    return again, snapshot._replace(finished=finished), sum(seconds.values())


def stopping_points(
    before: Learner,
    after: Learner,
    finished: Mapping[str, Outcome],
    settings: Mapping[str, Any],
) -> dict[str, StopAt]:
    """Computes the stopping points of each stage, at about as many steps as were selected.

    Args:
        before: the trainer of the first run.
        after: the trainer that retrains; its epochs may have another number of steps.
        finished: outcomes of the first run's stages.
        settings: of training.
    """
    stop_at = {}
    for name, chosen in finished.items():
        steps = [trainer.steps(name) for trainer in (before, after)]
        # Estimators have no settings of stages.
        plateau = plateau_of(settings.get(name, {}), before.heads(name))
        stop_at[name] = retrain_until(chosen, steps, after.epochs(name), plateau)
    return stop_at
