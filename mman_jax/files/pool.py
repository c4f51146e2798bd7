"""Worker processes for independent items; an item that kills its process does not affect others."""

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

T = TypeVar("T")

DIED = "the process that read it was killed"


def run(
    work: Callable[[T], str | None], items: Sequence[T], processes: int
) -> Iterator[tuple[T, str | None]]:
    """Runs a function on every item; yields each finished item with its failure, or None.

    An item that kills its process fails with `DIED`. To find it, the items that were being
    processed when a process died are repeated one at a time.

    `work` must be picklable, and returns the reason of a failure, or None. On a system that cannot
    start processes (see `shortage`), it runs in this one.
    """
    if shortage():
        yield from ((item, work(item)) for item in items)
        return
    waiting = list(reversed(items))
    suspects: list[T] = []
    while waiting or suspects:
        alone = bool(suspects)
        queue = suspects if alone else waiting
        under_way: dict[Future[str | None], T] = {}
        executor = spawn(1 if alone else processes)
        try:
            while queue or under_way:
                # Few at a time, because items that are running when a process dies are repeated.
                while queue and len(under_way) < (1 if alone else 2 * processes):
                    future = executor.submit(work, queue[-1])
                    under_way[future] = queue.pop()
                wait(under_way, return_when=FIRST_COMPLETED)
                # In the order of submission, because `wait` returns a set.
                for future in [future for future in under_way if future.done()]:
                    failure = future.result()
                    yield under_way.pop(future), failure
        except BrokenProcessPool:
            if alone:
                yield from ((item, DIED) for item in under_way.values())
            else:
                suspects = list(under_way.values())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@functools.cache
def shortage() -> str:
    """Returns why this system cannot start worker processes; empty if it can.

    They share locks, which need semaphores: a container may have none, or a read-only `/dev/shm`.
    """
    try:
        multiprocessing.get_context("spawn").Lock()
    except (ImportError, NotImplementedError, OSError) as error:
        return f"worker processes cannot be started here ({error}): all work is done in this one"
    return ""


def spawn(
    processes: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """Starts processes that share no state with this one, and end with it even if it is killed.

    Each process first calls `begin`, a picklable function; its arguments may be locks and queues.
    """
    # Forked processes would share the locks of XLA's and ffmpeg's threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, _begin, (begin, arguments))


def terminate(executor: ProcessPoolExecutor, patience: float) -> None:
    """Ends worker processes by SIGTERM, and kills those still running after `patience` seconds."""
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(patience)
        process.kill()
        process.join()


def _begin(begin: Callable[..., None] | None, arguments: Sequence[Any]) -> None:
    # Several processes may share one accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if begin is not None:
        begin(*arguments)
