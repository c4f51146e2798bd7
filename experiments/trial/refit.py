"""Training again on training and validation together, for the epochs that were chosen."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from experiments.terminal.screen import Screen
from experiments.trial import joining, training
from experiments.trial.prepared import Experiment, on_split
from mman_jax.data.protocols import Task
from mman_jax.training.outcome import Outcome, Snapshot, refitted
from mman_jax.training.trainer import Trainer


def refit(
    experiment: Experiment,
    task: Task,
    chosen: Snapshot,
    workdir: pathlib.Path,
    screen: Screen,
    towers: Mapping[str, pathlib.Path],
) -> tuple[Experiment, Snapshot, float]:
    """Trains each head for about as many steps as its best epoch had come to, and scores it once.

    Args:
        experiment: by which the epochs were chosen.
        task: that is trained.
        chosen: the last snapshot of that.
        workdir: of the trial; checkpoints go to `refit`.
        screen: where progress is shown.
        towers: see `experiment.run`.

    Returns:
        The experiment with validation in training, the snapshot with the parameters of it and with
        what `outcome.refitted` says, and the seconds that it took.
    """
    split = experiment.parts.split
    whole = np.union1d(split.train, split.valid)
    again = on_split(experiment, dataclasses.replace(split, train=whole))
    goals = targets(experiment.trainer, again.trainer, chosen.finished)

    def begin():
        return joining.begin(again, task, towers, again=True, targets=goals)

    snapshot, seconds = training.fit(
        again, task, workdir, screen, begin if towers else None, targets=goals
    )
    finished = refitted(chosen.finished, snapshot.finished)
    return again, snapshot._replace(finished=finished), sum(seconds.values())


def targets(
    before: Trainer, after: Trainer, finished: Mapping[str, Outcome]
) -> dict[str, np.ndarray]:
    """The epochs [S, T] of each stage that take about as many steps as those that were chosen.

    Args:
        before: who chose; an epoch of the other trainer has other steps.
        after: who trains again.
        finished: what each stage gave.
    """
    found = {}
    for name, outcome in finished.items():
        steps = [trainer.steps(name) for trainer in (before, after)]
        epochs = np.rint(outcome.best_epoch * steps[0] / steps[1])
        found[name] = np.clip(epochs, 1, after.epochs(name)).astype(np.int32)
    return found
