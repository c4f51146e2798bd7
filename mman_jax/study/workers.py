"""Jobs in processes of their own, side by side, and one line that says how far they are."""

import concurrent.futures
import multiprocessing
import os
import queue
import time
from collections.abc import Sequence

import jax
from absl import logging

from mman_jax.features.measuring import pool
from mman_jax.study.jobs import Job
from mman_jax.training.mesh import use_cache
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.progress import Progress

_LOOK = 0.5  # seconds between two looks at the jobs
_PATIENCE = 60  # seconds for a job to save what it has done
_told = None  # in a process of its own: the queue by which it tells how far it is


class _Remote(Progress):
    """Tells another process how far a job is."""

    def __init__(self, job: str, told):
        self.job, self.told = job, told

    def notice(self, text):
        self.told.put((self.job, None, text))

    def epoch(self, task, snapshot, epochs, numbers=False):
        done = len(snapshot.history.train_loss)
        self.told.put((self.job, f"{snapshot.stage} {done}/{epochs}", None))


def run(jobs: Sequence[Job], progress: Progress, processes: int, cache: str) -> None:
    """Runs all jobs, each after the towers that it fuses.

    Args:
        jobs: the more urgent one first; each starts when the towers that it fuses are there.
        progress: where progress is shown.
        processes: how many jobs run side by side; 1, or where there can be none: in this process.
        cache: folder of compiled programs, or empty.
    """
    left = [job for job in jobs if not job.done]
    if len(left) < len(jobs):
        progress.line(f"{len(jobs) - len(left)} of {len(jobs)} parts are there already")
    if processes > 1 and pool.shortage():
        progress.notice(pool.shortage())
    if processes == 1 or pool.shortage():
        for number in range(len(left)):
            unfinished = {job.folder for job in left}
            job = next(job for job in left if not unfinished & set(job.towers.values()))
            progress.line(f"{number} of {number + len(left)} parts done; next: {job.name}")
            job.run(progress)
            left.remove(job)
        return
    context = multiprocessing.get_context("spawn")
    told, numbers = context.Queue(), context.Queue()
    for number in range(processes):
        numbers.put(number)
    with pool.spawned(processes, _begin, numbers, told, cache) as executor:
        _watch(left, progress, executor, told, processes)


def default_processes() -> int:
    """A process a core on CPUs, up to four; on accelerators one for all."""
    if jax.default_backend() != "cpu":
        return 1
    affinity = hasattr(os, "sched_getaffinity")
    return max(1, min(4, len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1))


def _watch(left, progress, executor, told, processes):
    waiting, running, done, where, noticed = list(left), {}, 0, {}, set()
    total, printed = len(left), time.monotonic()
    try:
        while waiting or running:
            Preemption.check()  # before anything is given to processes that were asked to end, too
            unfinished = {job.folder for job in [*waiting, *running.values()]}
            ready = [job for job in waiting if not unfinished & set(job.towers.values())]
            for job in ready[: processes - len(running)]:
                waiting.remove(job)
                running[executor.submit(_run, job)] = job
            ended, _ = concurrent.futures.wait(running, _LOOK, concurrent.futures.FIRST_COMPLETED)
            Preemption.check()  # one that was asked, too, before it listened has gone already
            for future in ended:
                job = running.pop(future)
                future.result()
                done += 1
                where.pop(job.name, None)
            for name, at, notice in _drain(told):
                if at:
                    where[name] = at
                if notice and notice not in noticed:
                    noticed.add(notice)
                    progress.notice(notice)
            now = time.monotonic()
            if ended or now - printed > progress.every:
                printed = now
                under_way = ", ".join(f"{name} ({at})" for name, at in where.items())
                progress.line(f"{done} of {total} parts done; now {under_way or 'starting'}")
    except BaseException:
        working = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in working:
            process.terminate()  # it saves first
        for process in working:
            process.join(_PATIENCE)
            process.kill()
            process.join()
        raise


def _drain(told):
    while True:
        try:
            yield told.get_nowait()
        except queue.Empty:
            return


def _begin(numbers, told, cache):
    global _told
    _told = told
    logging.set_verbosity(logging.ERROR)
    Preemption.listen()
    number = numbers.get()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        # Before the first device is asked for: it makes a thread a core that it may use.
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    use_cache(cache)


def _run(job):
    job.run(_Remote(job.name, _told))
