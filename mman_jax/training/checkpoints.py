"""Arrays and a card on disk, through Orbax; nothing else here knows Orbax.

It is imported when it is needed: a training has ended its first epoch by then.
"""

import contextlib
import math
import pathlib
import shutil
import time
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.training import disk, integrity

_KEPT = 2
_TRIES = 20

# A small checkpoint must not be able to ask for much memory.
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 500


def save(directory: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Writes the next checkpoint, whole or not at all, and drops all but the newest two.

    Args:
        directory: of all checkpoints of one run.
        arrays: nested dicts of arrays.
        card: what JSON can hold.

    Raises:
        InputError: if the folder cannot be written.
    """
    import orbax.checkpoint as ocp

    items = ocp.args.Composite(
        arrays=ocp.args.StandardSave(jax.tree.map(np.asarray, dict(arrays))),
        card=ocp.args.JsonSave(dict(card)),
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        options = ocp.CheckpointManagerOptions(
            create=False, enable_async_checkpointing=False, multiprocessing_options=_alone()
        )
        with (
            disk.silence(),
            ocp.CheckpointManager(directory.absolute(), options=options) as manager,
        ):
            newest = manager.latest_step()
            step = 0 if newest is None else newest + 1
            manager.save(step, args=items)
        integrity.sign(directory / str(step))
        _drop_old(directory)
    except Exception as error:
        reason = disk.reason(error)
        if not reason:
            raise
        _drop_unfinished(directory)
        raise InputError(directory, f"cannot be written ({reason})", "a writable folder") from error


def restore(directory: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The arrays (NumPy, nested dicts) and the card of the newest checkpoint that can be read.

    None where there is no checkpoint.

    Raises:
        InputError: if there are some and none can be read.
    """
    if not directory.is_dir():
        return None
    damage = None
    for _, path in sorted(_steps(directory), reverse=True):
        # Of what Orbax left behind when it failed; of that it tells by its exception.
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            try:
                # Orbax is handed nothing that was not written as it is now: what it does with
                # damaged files is to print, to hang or to read other numbers.
                integrity.check(path)
                return _read(path)
            except InputError as error:
                damage = damage or (path, str(error))
            except Exception as error:
                # Bytes that are no checkpoint can fail in any way; none of them is a bug of ours.
                damage = damage or (path, f"{type(error).__name__}: {error!s:.200}")
    if damage is None:
        return None
    path, found = damage
    raise InputError(path, f"unreadable ({found})", "a checkpoint")


def _drop_old(directory: pathlib.Path) -> None:
    """Removes all but the newest whole checkpoints, once the newest is known to be whole."""
    steps = sorted(_steps(directory))
    whole = [path for _, path in steps if (path / integrity.NAME).is_file()]
    for _, path in steps:
        if path not in whole[-_KEPT:]:
            shutil.rmtree(path)


def _drop_unfinished(directory: pathlib.Path) -> None:
    """Removes what was begun and could not be ended: it takes the room of the next checkpoint."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            unsigned = [p for _, p in _steps(directory) if not (p / integrity.NAME).is_file()]
            left = [*directory.glob("*.orbax-checkpoint-tmp*"), *unsigned]
            for path in left:
                shutil.rmtree(path, ignore_errors=True)
            if not left:
                return
        time.sleep(0.05)  # threads of Orbax may still write into what is being removed


def _read(step: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import orbax.checkpoint as ocp

    alone = _alone()
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        # The handler's own: the checkpointer's warns of a file that is never written for a part.
        metadata = handler.metadata(step.absolute() / "arrays")
        _check_size(step, getattr(metadata, "item_metadata", metadata))
        arrays = reader.restore(step.absolute() / "arrays", args=ocp.args.StandardRestore())
    handler = ocp.JsonCheckpointHandler(multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        card = reader.restore(step.absolute() / "card", args=ocp.args.JsonRestore())
    return dict(arrays), dict(card)


def _check_size(step: pathlib.Path, metadata: Any) -> None:
    claimed = 0
    for leaf in jax.tree.leaves(metadata):
        chunk = getattr(leaf.storage, "chunk_shape", None) or ()
        values = max(math.prod(leaf.shape), math.prod(chunk))
        claimed += values * np.dtype(leaf.dtype).itemsize
    size = sum(path.stat().st_size for path in step.rglob("*") if path.is_file())
    if claimed > max(_FREE_BYTES, _LARGEST_RATIO * size):
        found = f"{size} bytes that claim to hold {claimed}"
        raise InputError(step, found, f"at most {_LARGEST_RATIO} times their size")


def _steps(directory: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    named = [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
    return [(int(path.name), path) for path in named if len(path.name) < 20]


def _alone() -> Any:  # orbax.checkpoint.options.MultiprocessingOptions
    import orbax.checkpoint as ocp

    # Arrays come here whole, so that whoever saves or reads does it alone, waiting for no other
    # process.
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )
