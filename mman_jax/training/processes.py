"""Communication of several processes: joining them, and gathering values on each of them.

It uses `jax.distributed` and `multihost_utils`. A single process does not communicate.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from mman_jax.errors import InputError

AUTO = "auto"


def join(distributed: str) -> None:
    """Joins this process to the others. Call this before JAX lists its devices.

    The config's `distributed` is empty for a single process, `auto` if the machines can find each
    other (a TPU pod slice, Slurm), or `ADDRESS:PORT,PROCESSES,ID` with the address of process 0.

    Raises:
        InputError: the setting is invalid, or no other processes can be found.
    """
    if not distributed:
        return
    if distributed != AUTO:
        jax.distributed.initialize(*parse(distributed))
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:
        raise InputError(
            "distributed",
            f"{AUTO!r}, but no other processes can be found ({error})",
            "ADDRESS:PORT,PROCESSES,ID",
        ) from error


def parse(distributed: str) -> tuple[str, int, int]:
    """Parses `ADDRESS:PORT,PROCESSES,ID`, or raises an InputError."""
    address, *counts = distributed.split(",")
    host, _, port = address.rpartition(":")
    numbers = [port, *counts]
    if host and len(numbers) == 3 and all(n.isascii() and n.isdigit() for n in numbers):
        number, processes, process = map(int, numbers)
        if 0 < number < 2**16 and process < processes:
            return address, processes, process
    raise InputError(
        "distributed",
        repr(distributed),
        f"{AUTO!r}, or ADDRESS:PORT,PROCESSES,ID with ID from 0 to PROCESSES - 1",
    )


def is_first() -> bool:
    """Returns whether this is the process that writes files and prints."""
    return jax.process_index() == 0


def gather(tree: Any) -> Any:
    """Returns complete NumPy arrays of arrays that may be spread over several processes.

    Every process must call this function on the same arrays.
    """

    def gather_array(x):
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return multihost_utils.process_allgather(x, tiled=True)
        return np.asarray(x)

    return jax.tree.map(gather_array, tree)


def agree(mine: bool) -> bool:
    """Returns the first process's value, for decisions that depend on clocks or disks."""
    return bool(multihost_utils.broadcast_one_to_all(np.asarray(mine)))


def wait(where: str) -> None:
    """Waits until every process has reached the same point."""
    multihost_utils.sync_global_devices(where)
