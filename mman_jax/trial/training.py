"""Training of one task: resuming, joining trained towers, and retraining."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference.model import Model
from mman_jax.tasks import Task
from mman_jax.training import checkpoints, processes
from mman_jax.training.optimizer import plateau_of
from mman_jax.training.state import (
    Outcome,
    Snapshot,
    StopAt,
    join,
    refitted,
    retrain_until,
    selected_loss,
)
from mman_jax.training.trainer import Trainer
from mman_jax.trial import boards
from mman_jax.trial.curves import Log
from mman_jax.trial.progress import Preemption, Progress
from mman_jax.trial.trial import Trial

Towers = Mapping[str, pathlib.Path]
"""Folders of separately trained towers, by head of the first stage; empty if there are none."""

SELECTED = "chosen"
"""Folder of the model that selected the epochs, if the final model was retrained."""


def fit(
    trial: Trial,
    task: Task,
    workdir: pathlib.Path,
    progress: Progress,
    towers: Towers,
    board_names: Sequence[str] = (),
    stop_at: Mapping[str, StopAt] | None = None,
) -> tuple[Snapshot, dict[str, float]]:
    """Trains one task, from its last checkpoint if there is one.

    Args:
        workdir: folder for checkpoints and learning curves.
        board_names: boards (`boards.WHERE`) that also show the curves.
        stop_at: stopping points for retraining (see `Trainer.run`), which has separate
            checkpoints and curves.

    Returns:
        The last snapshot, and the duration of each stage in seconds.
    """
    trainer = trial.trainer
    path = checkpoints_of(workdir, task, retrained=stop_at is not None)
    start, seconds = None, {}
    stored = checkpoints.restore(path) if trainer.resumes else None
    if stored:
        template = cast(Trainer, trainer).template
        start = checkpoints.unpack(*stored, trainer.stages, template, path)
        seconds = stored[1]["seconds"]
        epochs = len(start.history[0])
        progress.line(f"{task.name}: resumes after {start.stage} epoch {epochs}")
    elif towers:
        start = join_towers(trial, task, towers, stop_at)

    def report(snapshot: Snapshot, epochs: int) -> None:
        progress.epoch(task.name, snapshot, epochs, task.progress)
        Preemption.check()

    snapshot, saved = start, time.monotonic()
    clock = saved
    with contextlib.ExitStack() as stack:
        log = None
        if processes.is_first():
            log = stack.enter_context(_log(trial, task, workdir, board_names, stop_at is not None))
        if not trainer.resumes:
            stack.enter_context(Preemption.at_once())
        for snapshot in trainer.run(
            trial.labels[task.name], trial.seeds, start, stop_at, trial.groups, report
        ):
            now = time.monotonic()
            seconds[snapshot.stage] = seconds.get(snapshot.stage, 0.0) + now - clock
            clock = now
            complete = len(snapshot.finished) == len(trainer.stages)
            stops = bool(Preemption.asked)
            if log:
                log.note(snapshot, last=complete or stops)
            if not complete:
                stage = snapshot.stage
                most = stop_at[stage].epoch.max() if stop_at else trainer.epochs(stage)
                progress.epoch(task.name, snapshot, int(most), task.progress)
            # The clocks of several processes differ, but all must take part in packing.
            due = processes.agree(stops or now - saved > trial.checkpoint_seconds)
            if trainer.resumes and (complete or due):
                arrays, card = checkpoints.pack(snapshot)
                if processes.is_first():
                    checkpoints.save(path, arrays, card | {"seconds": seconds})
                saved = now
            if not complete:
                Preemption.check()
    assert snapshot is not None  # the run yields at least one
    return snapshot, seconds


def refit(
    trial: Trial,
    task: Task,
    selected: Snapshot,
    workdir: pathlib.Path,
    progress: Progress,
    towers: Towers,
) -> tuple[Trial, Snapshot, float]:
    """Retrains each head on training and validation for about as many steps as were selected.

    Returns:
        The trial on the joined parts, its last snapshot with the outcomes of `outcome.refitted`,
        and the duration in seconds.
    """
    split = trial.parts.split
    retrained = trial.on_split(
        dataclasses.replace(split, train=np.union1d(split.train, split.valid))
    )
    stop_at, (before, after) = {}, (trial.trainer, retrained.trainer)
    for name, outcome in selected.finished.items():
        # An epoch of retraining may have more steps. Estimators have no settings of stages.
        steps, of_stage = [before.steps(name), after.steps(name)], trial.config.train.get(name, {})
        plateau, idle = plateau_of(of_stage, before.heads(name)), of_stage.get("from_start", False)
        stop = retrain_until(outcome, steps, after.epochs(name), plateau, idle)
        stop_at[name] = stop._replace(valid_loss=selected_loss(outcome))
    snapshot, seconds = fit(retrained, task, workdir, progress, towers, stop_at=stop_at)
    finished = refitted(selected.finished, snapshot.finished)
    return retrained, snapshot._replace(finished=finished), sum(seconds.values())


def join_towers(
    trial: Trial, task: Task, towers: Towers, stop_at: Mapping[str, StopAt] | None = None
) -> Snapshot:
    """Joins separately trained towers into the snapshot before the second stage.

    These are the retrained towers if `stop_at` is given.

    Raises:
        InputError: a tower's trial is not finished, or has different seeds.
    """
    trainer = cast(Trainer, trial.trainer)
    first, second = trainer.stages[:2]
    params: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    for name, folder in towers.items():
        checkpoint = checkpoints_of(folder, task, retrained=stop_at is not None)
        stored = checkpoints.restore(checkpoint)
        if stored is None:
            raise InputError(checkpoint, "no checkpoint", "the folder of a finished trial")
        outcomes[name] = checkpoints.unpack_finished(*stored, first, checkpoint)
        selects = trial.refit and stop_at is None
        model = Model.load(folder / (SELECTED if selects else "model") / task.name)
        params |= _with_failed_seeds(model, trial.seeds, folder)
    joined = join([outcomes[head] for head in trainer.heads(first)])
    return trainer.before(second, params, {first: joined}, trial.seeds, stop_at)


def checkpoints_of(workdir: pathlib.Path, task: Task, retrained: bool = False) -> pathlib.Path:
    """Returns the folder of a task's checkpoints, of training or of retraining."""
    return workdir / ("refit" if retrained else "checkpoints") / task.name


def _with_failed_seeds(model: Model, seeds: list[int], folder: pathlib.Path) -> dict[str, Any]:
    """Returns a model's parameters, with zeros for the seeds that failed.

    The outcome says which seeds failed. Seeds are independent, so the zeros affect no other seed.
    """
    trained = model.card["seeds"]
    if not set(trained) <= set(seeds):
        raise InputError(folder, f"seeds {trained}", f"some of {seeds}")
    indices = [seeds.index(seed) for seed in trained]

    def spread(x):
        full = np.zeros((len(seeds), *np.shape(x)[1:]), np.asarray(x).dtype)
        full[indices] = x
        return full

    return jax.tree.map(spread, dict(model.params))


def _log(
    trial: Trial, task: Task, workdir: pathlib.Path, board_names: Sequence[str], retrained: bool
) -> Log:
    parts = ["refit"] * retrained + [task.name] * (len(trial.tasks) > 1)
    run = boards.Run(workdir, "_".join(parts), trial.config.to_dict())
    path = workdir / ("_".join(["curves", *parts]) + ".csv")
    opened = boards.begin(board_names, run, trial.seeds)
    return Log(path, trial.heads, trial.seeds, opened, task.progress.key)
