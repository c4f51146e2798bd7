"""A pool of processes that outlives what kills one of them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")

DIED = "the process that read it was killed"


def run(
    work: Callable[[T], str | None], items: Sequence[T], processes: int
) -> Iterator[tuple[T, str | None]]:
    """Does the work on every item; yields items as they end, each with its failure or None.

    An item that kills its process fails with `DIED`; the others go on. Items that were under way
    when a process died are done again, one at a time, to find which one it was.

    Args:
        work: picklable; returns what went wrong, or None.
        items: what to do it on.
        processes: how many at once.
    """
    waiting, suspects = list(reversed(items)), []
    while waiting or suspects:
        alone = bool(suspects)
        queue = suspects if alone else waiting
        under_way: dict[Future, T] = {}
        executor = _executor(1 if alone else processes)
        try:
            while queue or under_way:
                # Few at a time: what is under way when a process dies has to be done again.
                while queue and len(under_way) < (1 if alone else 2 * processes):
                    future = executor.submit(work, queue[-1])
                    under_way[future] = queue.pop()
                ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in ended:
                    failure = future.result()
                    yield under_way.pop(future), failure
        except BrokenProcessPool:
            if alone:
                yield from ((item, DIED) for item in under_way.values())
            else:
                suspects = list(under_way.values())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _executor(processes: int) -> ProcessPoolExecutor:
    # Forked processes would share the locks of XLA's and ffmpeg's threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, initializer=_follow_parent)


def _follow_parent() -> None:
    # Several processes may share one accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
