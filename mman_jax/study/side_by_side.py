"""What a sweep trains, in processes of their own, side by side."""

import contextlib
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any, TypeVar

import jax
from absl import logging
from ml_collections import ConfigDict

from mman_jax.features.measuring import pool
from mman_jax.study.inner import Inner, prepare_inner
from mman_jax.training.mesh import use_cache
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.progress import Progress

T = TypeVar("T")

Waiting = Callable[[], tuple[T, float]]
"""Waits for a result; with the seconds that it took once it was its turn."""

_LOOK = 0.5  # seconds between two looks at whether it is to end
_inner: Inner | None = None  # in a process of its own: what it trains on


def in_order(begun: Iterable[Callable[[], T]], width: int) -> Iterator[T]:
    """Results in the order in which they were begun, however long each takes.

    Args:
        begun: what waits for a result, of each; the next one is begun, by asking for it, when the
            results of all but the last `width - 1` were taken.
        width: how many are begun before the first is waited for.
    """
    under_way: deque[Callable[[], T]] = deque()
    for result in begun:
        under_way.append(result)
        if len(under_way) == width:
            yield under_way.popleft()()
    while under_way:
        yield under_way.popleft()()


class Workers:
    """What does several things at once; here, one after the other, where there are no processes.

    Attributes:
        width: how many are to be begun ahead, so that no process is idle while one takes long.
    """

    def __init__(
        self,
        inner: Inner,
        progress: Progress,
        executor: ProcessPoolExecutor | None = None,
        count: int = 1,
    ):
        self.inner, self.progress, self.executor = inner, progress, executor
        self.width = 2 * count if count > 1 else 1

    def begin(self, work: Callable[..., T], *task: Any) -> Waiting[T]:
        """Begins something.

        Args:
            work: picklable; called with the folds, the task and a progress.
            task: picklable.
        """
        if self.executor is None:
            return lambda: _timed(work, self.inner, *task, self.progress)
        Preemption.check()
        future = self.executor.submit(_work, work, *task)

        def result():
            while wait([future], _LOOK).not_done:
                Preemption.check()
            Preemption.check()  # where the whole group was asked, its processes have gone already
            return future.result()

        return result


@contextlib.contextmanager
def opened(
    inner: Inner, progress: Progress, recipe: ConfigDict, by: str, count: int, cache: str
) -> Iterator[Workers]:
    """So many processes, each with the folds of a recipe's corpus.

    Args:
        inner: these folds.
        progress: where the progress of a single process is shown.
        recipe: whose corpus they are of.
        by: as of `prepare_inner`.
        count: of processes; 1: in this one.
        cache: folder of compiled programs, or empty.
    """
    if count > 1 and pool.shortage():
        progress.notice(pool.shortage())
    if count == 1 or pool.shortage():
        yield Workers(inner, progress)
        return
    numbers = multiprocessing.get_context("spawn").Queue()
    for number in range(count):
        numbers.put(number)
    executor = pool.spawned(count, _begin, numbers, cache, recipe, by)
    try:
        yield Workers(inner, progress, executor, count)
    finally:
        working = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in working:
            process.kill()  # a trial that has not ended leaves nothing
            process.join()


def _begin(numbers: Any, cache: str, recipe: ConfigDict, by: str) -> None:
    global _inner
    logging.set_verbosity(logging.ERROR)
    number = numbers.get()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        # Before the first device is asked for: it makes a thread a core that it may use.
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    use_cache(cache)
    _inner = prepare_inner(recipe, by)


def _work(work: Callable[..., T], *task: Any) -> tuple[T, float]:
    return _timed(work, _inner, *task, Progress())


def _timed(work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    began = time.monotonic()
    try:
        return work(*arguments), time.monotonic() - began
    finally:
        jax.clear_caches()  # nothing later uses these programs
