"""The training of one task: it goes on where it was interrupted, and shows how it goes."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

from mman_jax.data.protocols import Task
from mman_jax.training import checkpoints, processes
from mman_jax.training.outcome import Snapshot, StopAt
from mman_jax.trial import boards, results
from mman_jax.trial.curves import Log
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.prepared import Experiment
from mman_jax.trial.progress import Progress


def fit(
    experiment: Experiment,
    task: Task,
    workdir: pathlib.Path,
    progress: Progress,
    begin: Callable[[], Snapshot] | None = None,
    shown: Sequence[str] = (),
    stop_at: Mapping[str, StopAt] | None = None,
) -> tuple[Snapshot, dict[str, float]]:
    """Trains one task, going on from its last checkpoint.

    Args:
        experiment: which system, on which corpus.
        task: what to train.
        workdir: where checkpoints and learning curves are kept.
        progress: where progress is shown.
        begin: gives the snapshot to start from, if there is no checkpoint.
        shown: the boards (`boards.WHERE`) where curves go, too.
        stop_at: stopping points for retraining (see `Trainer.run`), which has separate
            checkpoints and curves.

    Returns:
        The last snapshot, and the seconds by stage.

    Raises:
        InputError: if a checkpoint cannot be read.
    """
    trainer, again = experiment.trainer, stop_at is not None
    where = checkpoints_of(workdir, task, again)
    start, seconds = None, {}
    if experiment.config.seeds > len(experiment.seeds):
        progress.notice("nothing is drawn here: one seed stands for all")
    found = checkpoints.restore(where) if trainer.resumes else None
    if found:
        start = checkpoints.unpack(*found, trainer.stages, trainer.template, where)
        seconds = found[1]["seconds"]
        progress.line(f"{task.name}: goes on after {start.stage} epoch {len(start.history[0])}")
    elif begin:
        start = begin()
    saved = clock = time.monotonic()
    snapshot = start
    with contextlib.ExitStack() as stack:
        log = None
        if processes.is_first():
            log = stack.enter_context(_log(experiment, task, workdir, shown, again))
        for snapshot in trainer.run(
            experiment.labels[task.name],
            experiment.seeds,
            start,
            stop_at=stop_at,
            groups=experiment.groups,
        ):
            now = time.monotonic()
            seconds[snapshot.stage] = seconds.get(snapshot.stage, 0.0) + now - clock
            clock = now
            complete = len(snapshot.finished) == len(trainer.stages)
            if log:
                log.note(snapshot, last=complete or Preemption.asked)
            if not complete:
                numbers = bool(experiment.targets)
                progress.epoch(task.name, snapshot, trainer.epochs(snapshot.stage), numbers)
            # The clocks of several processes differ; all must have a part in packing.
            patience = experiment.config.checkpoint_seconds
            late = processes.agree(Preemption.asked or now - saved > patience)
            if trainer.resumes and (complete or late):
                arrays, card = checkpoints.pack(snapshot)
                if processes.is_first():
                    checkpoints.save(where, arrays, card | {"seconds": seconds})
                saved = now
            if not complete:
                Preemption.check()
    return snapshot, seconds


def checkpoints_of(workdir: pathlib.Path, task: Task, again: bool = False) -> pathlib.Path:
    """The folder of a trial's checkpoints: of its training, or of that which trained it again."""
    return workdir / ("refit" if again else "checkpoints") / task.name


def _log(
    experiment: Experiment, task: Task, workdir: pathlib.Path, shown: Sequence[str], again: bool
) -> Log:
    one, trainer = len(experiment.tasks) == 1, experiment.trainer
    heads = {stage: trainer.heads(stage) for stage in trainer.stages}
    parts = ["refit"] * again + [task.name] * (not one)
    run = boards.Run(workdir, "_".join(parts), experiment.config.to_dict())
    name = "_".join(["curves", *parts]) + ".csv"
    begun = boards.begin(shown, run, experiment.seeds)
    score = results.shown(experiment.targets)
    return Log(workdir / name, heads, experiment.seeds, begun, score)
