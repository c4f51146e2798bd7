"""Training again on training and validation together, for the epochs that were chosen."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.protocols import Task
from mman_jax.training import goal, plateau
from mman_jax.training.fitting import Fitting
from mman_jax.training.goal import Goal
from mman_jax.training.outcome import Outcome, Snapshot, refitted
from mman_jax.training.trainer import Trainer
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
    coming = goals(experiment.trainer, again.trainer, chosen.finished, experiment.config.train)

    def begin():
        return joining.begin(again, task, towers, again=True, goals=coming)

    snapshot, seconds = training.fit(
        again, task, workdir, progress, begin if towers else None, goals=coming
    )
    finished = refitted(chosen.finished, snapshot.finished)
    return again, snapshot._replace(finished=finished), sum(seconds.values())


def goals(
    before: Trainer | Fitting,
    after: Trainer | Fitting,
    finished: Mapping[str, Outcome],
    settings: Mapping[str, Any],
) -> dict[str, Goal]:
    """Of each stage the epochs that take about as many steps as those that were chosen, and when
    learning rates fall.

    Args:
        before: who chose; an epoch of the other trainer has other steps.
        after: who trains again.
        finished: what each stage gave.
        settings: of training.
    """
    found = {}
    for name, chosen in finished.items():
        steps = [trainer.steps(name) for trainer in (before, after)]
        # What is fitted in one call has no settings.
        falling = plateau.of_settings(settings.get(name, {}), before.heads(name))
        found[name] = goal.again(chosen, steps, after.epochs(name), falling)
    return found
