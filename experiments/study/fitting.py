"""One system or tower of the paper command: trained, and all that the report says of it."""

import dataclasses
import fcntl
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.terminal.screen import Screen
from experiments.trial import analysis, results, training
from experiments.trial.prepared import Experiment, prepare_experiment
from mman_jax.data.protocols import Task
from mman_jax.files.whole import read_json, write_whole
from mman_jax.training import checkpoints, freezing
from mman_jax.training.outcome import Snapshot, of_seeds

FITTED = "fitted.json"
TRAINED = "trained"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained by itself.

    Attributes:
        name: for the screen.
        config: of a system, or of a tower as one.
        folder: where all of it is kept.
        towers: the folders of the towers that it fuses; none for a tower.
    """

    name: str
    config: ConfigDict
    folder: pathlib.Path
    towers: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)


def fit(job: Job, screen: Screen) -> None:
    """Trains a job and writes `fitted.json` into its folder; does nothing where it is there.

    Goes on where it was interrupted. A second process on the same folder waits for the first.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (job.folder / FITTED).is_file():
            return
        experiment = prepare_experiment(job.config)
        for notice in experiment.notices:
            screen.notice(notice)
        found = {task.name: _fit_task(job, experiment, task, screen) for task in experiment.tasks}
        write_whole(job.folder / FITTED, (json.dumps(found) + "\n").encode())
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)


def read(folder: pathlib.Path) -> dict[str, Any]:
    """What `fit` wrote, by task."""
    return read_json(folder / FITTED)


def _fit_task(job: Job, experiment: Experiment, task: Task, screen: Screen) -> dict[str, Any]:
    trainer = experiment.trainer

    def begin() -> Snapshot:
        params, outcomes = {}, {}
        for name, folder in job.towers.items():
            arrays, _ = checkpoints.restore(folder / TRAINED / task.name)
            params |= arrays["params"]
            outcomes[name] = checkpoints.unpack_outcome(arrays["outcome"])
        return trainer.join(params, outcomes, experiment.seeds)

    snapshot, seconds = training.fit(
        experiment,
        task,
        job.folder,
        screen,
        begin if job.towers else None,
        keep_last=not job.towers,
    )
    params = jax.tree.map(np.asarray, snapshot.state.best)
    if not job.towers:
        outcome = checkpoints.pack_outcome(snapshot.finished["towers"])
        trained = {"params": params, "outcome": outcome}
        checkpoints.save(job.folder / TRAINED / task.name, trained, {})
    kept, failed = experiment.survivors(snapshot, screen)
    params = jax.tree.map(lambda x: x[kept], params)
    finished = of_seeds(snapshot.finished, kept)
    scores = results.of_task(task, finished, experiment.heads)
    sizes = experiment.parameters(params)
    groups = trainer.stage(trainer.stages[-1]).groups
    trainable = jax.tree.map(
        lambda name, x: 0 if name == freezing.FROZEN else x[0].size, groups, params
    )
    return scores | {
        "seconds": sum(seconds.values()),
        "parameters": sizes | {"trainable": int(sum(jax.tree.leaves(trainable)))},
        "failed": failed,
        "curves": analysis.curves(experiment.heads, finished),
        **analysis.answers(experiment, task, params),
        # Of one-vs-rest tasks the report tells scores alone.
        **(analysis.looks(experiment, task, params) if len(experiment.tasks) == 1 else {}),
    }
