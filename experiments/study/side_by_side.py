"""Trials of a sweep in processes of their own, side by side."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from experiments.study.inner import Candidate, Inner, Towers, prepare_inner
from experiments.study.search import Row, Search
from experiments.terminal.command import Preemption, use_cache
from experiments.terminal.screen import Screen
from mman_jax.features.measuring import pool

_LOOK = 0.5  # seconds between two looks at whether it is to end

Attempt = tuple[Mapping[str, np.ndarray], bool]
"""Losses [folds, seeds] by owner, and whether it was given up before its last fold."""

_inner: Inner | None = None  # in a process of its own: what its trials are trained on


def attempt(
    candidate: Candidate,
    owners: Mapping[str, str],
    search: Search,
    rows: Sequence[Row],
    towers: Sequence[Towers] | None = None,
) -> Attempt:
    """Trains a candidate on one fold after the other, as long as it is not hopeless.

    Args:
        candidate: what is tried.
        owners: by head, whose settings its loss is of.
        search: what says that it is hopeless,
        rows: beside these.
        towers: of each fold, where only the fusion is to be trained.
    """
    names, losses = candidate.folds.names, {owner: [] for owner in owners.values()}
    for fold, name in enumerate(names):
        snapshot = candidate.train(fold, f"fold {name}", towers and towers[fold])
        found = candidate.losses(fold, snapshot)
        for head, owner in owners.items():
            losses[owner].append(found[head])
        so_far = {owner: np.array(several) for owner, several in losses.items()}
        if fold + 1 < len(names) and search.hopeless(rows, so_far):
            return so_far, True
    return so_far, False


class Workers:
    """What trains several trials at once; here, where it is but one."""

    def __init__(
        self,
        inner: Inner,
        screen: Screen,
        executor: ProcessPoolExecutor | None = None,
        count: int = 1,
    ):
        self.inner, self.screen, self.executor, self.count = inner, screen, executor, count

    def run(
        self,
        configs: Sequence[ConfigDict],
        towers: tuple[str, ...],
        seeds: Sequence[int],
        search: Search,
        rows: Sequence[Row],
    ) -> list[Attempt]:
        """Trains towers under each of some configs; what they gave, in order."""
        tasks = [(config, towers, seeds, search, rows) for config in configs]
        if self.executor is None:
            return [_attempt(self.inner, *task, self.screen) for task in tasks]
        futures = [self.executor.submit(_work, *task) for task in tasks]
        while wait(futures, _LOOK).not_done:
            Preemption.obey()
        return [future.result() for future in futures]


@contextlib.contextmanager
def opened(
    inner: Inner, screen: Screen, recipe: ConfigDict, by: str, count: int, cache: str
) -> Iterator[Workers]:
    """So many processes, each with the folds of a recipe's corpus.

    Args:
        inner: these folds.
        screen: where the progress of a single process is shown.
        recipe: whose corpus they are of.
        by: as of `prepare_inner`.
        count: of processes; 1: in this one.
        cache: folder of compiled programs, or empty.
    """
    if count == 1:
        yield Workers(inner, screen)
        return
    numbers = multiprocessing.get_context("spawn").Queue()
    for number in range(count):
        numbers.put(number)
    executor = pool.spawned(count, _begin, numbers, cache, recipe, by)
    try:
        yield Workers(inner, screen, executor, count)
    finally:
        working = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in working:
            process.kill()  # a trial that has not ended leaves nothing
            process.join()


def _attempt(inner, config, towers, seeds, search, rows, screen) -> Attempt:
    candidate = Candidate(inner, config, seeds, screen, towers)
    return attempt(candidate, {name: name for name in towers}, search, rows)


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


def _work(*task: Any) -> Attempt:
    try:
        return _attempt(_inner, *task, Screen(quiet=True))
    finally:
        jax.clear_caches()  # no later trial uses these programs
