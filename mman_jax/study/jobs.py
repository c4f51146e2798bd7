"""Trials of a study, run one after another or in parallel processes."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from mman_jax.files import pool
from mman_jax.files.lock import alone
from mman_jax.tasks.score import Score
from mman_jax.training.mesh import use_cache
from mman_jax.training.state import Snapshot
from mman_jax.trial import runner
from mman_jax.trial.progress import Preemption, Progress

_LOCK_PATIENCE = 60.0
"""Seconds to wait for a folder, because a killed process may take a moment to end."""

_SAVE_PATIENCE = 60.0
"""Seconds for a trial to save its work."""

_INTERVAL = 0.5
"""Seconds between two checks of the running trials."""

_reports: Any = None  # in a worker process: the queue by which it reports its progress


@dataclasses.dataclass(frozen=True)
class Job:
    """A trial to run.

    Attributes:
        name: name that the progress shows.
        config: config of the trial.
        folder: folder of the trial.
        towers: folders of the trials that train its towers; empty if the trial trains them.
        analyse: whether to analyse attention, missing modalities and the use of context.
        board_names: boards that also show its learning curves.
        baseline: whether to also fit and score the linear baseline.
    """

    name: str
    config: ConfigDict
    folder: pathlib.Path
    towers: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    analyse: bool = False
    board_names: Sequence[str] = ()
    baseline: bool = False

    @property
    def done(self) -> bool:
        """Whether the trial is finished."""
        return (self.folder / "results.json").is_file()

    def run(self, progress: Progress) -> None:
        """Runs the trial, or resumes it; see `runner.run`."""
        options = self.board_names, self.towers, self.analyse, self.baseline
        with alone(self.folder, patience=_LOCK_PATIENCE):
            runner.run(self.config, self.folder, progress, *options)


def run(jobs: Sequence[Job], progress: Progress, processes: int, cache: str) -> None:
    """Runs all jobs, each after the jobs of its towers.

    Args:
        jobs: jobs in order of urgency.
        processes: number of jobs that run in parallel. With 1, or if no processes can be started,
            they run in this process.
        cache: folder of compiled programs for these processes, or empty.
    """
    waiting = [job for job in jobs if not job.done]
    if len(waiting) < len(jobs):
        progress.line(f"{len(jobs) - len(waiting)} of {len(jobs)} parts are already finished")
    if processes > 1 and pool.shortage():
        progress.notice(pool.shortage())
        processes = 1
    if processes == 1:
        for number in range(len(waiting)):
            job = _ready(waiting, waiting)[0]
            progress.line(f"{number} of {number + len(waiting)} parts done; next: {job.name}")
            job.run(progress)
            waiting.remove(job)
        return
    context = multiprocessing.get_context("spawn")
    reports, numbers = context.Queue(), context.Queue()
    for number in range(processes):
        numbers.put(number)
    with pool.spawn(processes, _begin, numbers, reports, cache) as executor:
        try:
            _watch(waiting, progress, executor, reports, processes)
        except BaseException:
            pool.terminate(executor, _SAVE_PATIENCE)
            raise


def default_processes() -> int:
    """Returns one process per CPU core, up to four; on accelerators, one."""
    if jax.default_backend() != "cpu":
        return 1
    affinity = hasattr(os, "sched_getaffinity")
    return max(1, min(4, len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1))


def _ready(waiting: Sequence[Job], unfinished: Sequence[Job]) -> list[Job]:
    """Returns the waiting jobs whose towers are trained."""
    folders = {job.folder for job in unfinished}
    return [job for job in waiting if not folders & set(job.towers.values())]


def _watch(
    waiting: list[Job],
    progress: Progress,
    executor: concurrent.futures.ProcessPoolExecutor,
    reports: Any,
    processes: int,
) -> None:
    """Submits jobs to worker processes until all are done, and reports their progress."""
    total, done, printed, shown = len(waiting), 0, time.monotonic(), ""
    running: dict[concurrent.futures.Future[None], Job] = {}
    epochs: dict[str, str] = {}
    notices: set[str] = set()
    while waiting or running:
        Preemption.check()  # a signal to end also reaches the workers, so submit no more jobs
        ready = _ready(waiting, [*waiting, *running.values()])
        for job in ready[: processes - len(running)]:
            waiting.remove(job)
            running[executor.submit(_run, job)] = job
        first = concurrent.futures.FIRST_COMPLETED
        ended, _ = concurrent.futures.wait(running, _INTERVAL, first)
        Preemption.check()  # the workers may have ended at the same signal
        for future in ended:
            job = running.pop(future)
            future.result()
            done += 1
            epochs.pop(job.name, None)
        with contextlib.suppress(queue.Empty):
            while True:
                name, epoch, notice = reports.get_nowait()
                if epoch:
                    epochs[name] = epoch
                if notice and notice not in notices:
                    notices.add(notice)
                    progress.notice(notice)
        now = time.monotonic()
        if ended or now - printed > progress.every:
            printed = now
            under_way = ", ".join(f"{name} ({epoch})" for name, epoch in epochs.items())
            line = f"{done} of {total} parts done; now {under_way or 'starting'}"
            if line != shown:
                progress.line(line)
            shown = line


class _Remote(Progress):
    """Reports the progress of a job to another process: its name, epoch and notice."""

    def __init__(self, job: str):
        self._job = job

    def notice(self, text: str) -> None:
        _reports.put((self._job, "", text))

    def epoch(self, task: str, snapshot: Snapshot, epochs: int, score: Score) -> None:
        done = len(snapshot.history.train_loss)
        _reports.put((self._job, f"{snapshot.stage} {done}/{epochs}", ""))


def _begin(numbers: Any, reports: Any, cache: str) -> None:
    global _reports
    _reports = reports
    logging.set_verbosity(logging.ERROR)
    Preemption.listen()
    number = numbers.get()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        # Before JAX looks for devices, because it then starts a thread for each available core.
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    use_cache(cache)


def _run(job: Job) -> None:
    job.run(_Remote(job.name))
