"""Checkpoints of training: arrays and a card on disk, written by Orbax and checked by digests.

Orbax is imported on first use, after the first epoch of a training.
"""

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import pathlib
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.training import processes
from mman_jax.training.state import Outcome, Record, Snapshot, State

DIGESTS = "digests.json"

_FORMAT = 2
"""Version of a snapshot's arrays; increase it when they or their order change."""

_NEWEST = 2
_TRIES = 20

_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 500
_LARGEST_DIGESTS = 16 << 20

_REASONS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
)
_LOGGERS = ("absl", "asyncio")


def save(directory: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Writes the next checkpoint atomically, and removes all but the newest two.

    Arrays are nested dicts, and the card is a mapping that JSON can represent.

    Raises:
        InputError: the folder cannot be written.
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
            silence_threads(),
            ocp.CheckpointManager(directory.absolute(), options=options) as manager,
        ):
            newest = manager.latest_step()
            step = 0 if newest is None else newest + 1
            manager.save(step, args=items)
        sign(directory / str(step))
        _remove_old(directory)
    except Exception as error:
        reason = refusal(error)
        if not reason:
            raise
        _remove_unfinished(directory)
        raise InputError(directory, f"cannot be written ({reason})", "a writable folder") from error


def restore(directory: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Reads the arrays (NumPy, nested dicts) and the card of the newest readable checkpoint.

    Returns None if there is no checkpoint.

    Raises:
        InputError: if there are checkpoints but none is readable.
    """
    if not directory.is_dir():
        return None
    damage = None
    for _, path in sorted(_steps(directory), reverse=True):
        # Orbax also issues warnings about failed reads, but its exceptions report them.
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            try:
                # With damaged files Orbax prints, hangs or returns wrong numbers.
                verify(path)
                return _read(path)
            except InputError as error:
                damage = damage or (path, str(error))
            except Exception as error:
                # Reading invalid bytes may raise any exception.
                damage = damage or (path, f"{type(error).__name__}: {error!s:.200}")
    if damage is None:
        return None
    path, reason = damage
    raise InputError(path, f"unreadable ({reason})", "a checkpoint")


def pack(snapshot: Snapshot) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts a snapshot to arrays and a card; all processes must call it, and get all arrays."""
    finished = {name: _numbered(outcome) for name, outcome in snapshot.finished.items()}
    arrays = {"state": _numbered(snapshot.state), "history": _numbered(snapshot.history)}
    card = {"format": _FORMAT, "stage": snapshot.stage, "finished": list(finished)}
    return arrays | ({"finished": finished} if finished else {}), card


def unpack(
    arrays: Mapping[str, Any],
    card: Mapping[str, Any],
    stages: Sequence[str],
    template: Callable[[str, int], State],
    place: object = "checkpoint",
) -> Snapshot:
    """Restores a snapshot from the results of `pack`, for a trainer that resumes.

    Args:
        arrays: arrays of a checkpoint.
        card: card of the checkpoint.
        stages: the trainer's stages.
        template: its `Trainer.template`.
        place: place of the checkpoint, for messages.

    Raises:
        InputError: if another version of the package or another network wrote it.
    """
    _check_format(card, place)
    if card["stage"] not in stages:
        raise InputError(place, f"stage {card['stage']!r:.40}", "one of " + ", ".join(stages))
    seeds = len(arrays["state"]["0000"])
    expected = template(card["stage"], seeds)
    leaves = _ordered(arrays["state"])
    _check_leaves(leaves, expected, place)
    finished = {name: _outcome(arrays["finished"][name]) for name in card["finished"]}
    return Snapshot(
        card["stage"],
        jax.tree.unflatten(jax.tree.structure(expected), leaves),
        Record(*_ordered(arrays["history"])),
        finished,
    )


def unpack_finished(
    arrays: Mapping[str, Any], card: Mapping[str, Any], stage: str, place: object = "checkpoint"
) -> Outcome:
    """Restores the outcome of a finished stage from the results of `pack`.

    Raises:
        InputError: if another version of the package wrote it, or the stage is not finished.
    """
    _check_format(card, place)
    if stage not in card["finished"]:
        raise InputError(place, f"stage {stage} is not finished", "a finished run")
    return _outcome(arrays["finished"][stage])


def sign(folder: pathlib.Path) -> None:
    """Writes the digests of all files in a folder, atomically, which marks it as complete.

    Raises:
        OSError: a file cannot be read or written.
    """
    part = folder / f".{DIGESTS}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(_digests(folder), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / DIGESTS)


def verify(folder: pathlib.Path) -> None:
    """Reads every file of a folder and compares it with its digest.

    Raises:
        InputError: if there are no digests (the folder is unfinished), or if a file is missing,
            added or changed.
    """
    path = folder / DIGESTS
    try:
        if path.stat().st_size > _LARGEST_DIGESTS:
            raise ValueError(f"{path.stat().st_size} bytes")
        signed = json.loads(path.read_text(encoding="utf-8"))
        actual = _digests(folder)
    except FileNotFoundError as error:
        expected = "a finished checkpoint of this version"
        raise InputError(folder, f"no {DIGESTS}", expected) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, f"unreadable ({error})", "the digests of a checkpoint") from error
    if not isinstance(signed, dict):
        raise InputError(path, f"a {type(signed).__name__}", "the digests of a checkpoint")
    for name in sorted(signed.keys() | actual.keys()):
        if signed.get(name) != actual.get(name):
            damage = "missing" if name not in actual else "damaged" if name in signed else "unknown"
            raise InputError(folder / name, f"a {damage} file", "an unchanged checkpoint")


def refusal(error: BaseException) -> str:
    """Finds the operating system's message of a failed write; empty for other errors.

    TensorStore, which writes for Orbax, raises a ValueError whose text contains that message. The
    causes of an error and the members of a group are also examined.
    """
    pending, seen = [error], set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError):
            return str(current)
        messages = [os.strerror(number) for number in _REASONS]
        messages = [message for message in messages if message in str(current)]
        if messages:
            return messages[0]
        pending += [e for e in (current.__cause__, current.__context__) if e is not None]
        pending += current.exceptions if isinstance(current, BaseExceptionGroup) else ()
    return ""


@contextlib.contextmanager
def silence_threads() -> Iterator[None]:
    """Keeps Orbax's threads from printing tracebacks of errors that are also raised."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    hooks = sys.unraisablehook, threading.excepthook
    if not isinstance(sys.unraisablehook, _WithoutLateWrites):
        sys.unraisablehook = _WithoutLateWrites(sys.unraisablehook)
    threading.excepthook = lambda _: None
    asyncio_logger = logging.getLogger("asyncio")
    failed_before = _is_not_of_disk in asyncio_logger.filters
    asyncio_logger.addFilter(_is_not_of_disk)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
        # After a failure both remain, because other failed writes may be reported later.
        sys.unraisablehook = hooks[0]
        if not failed_before:
            asyncio_logger.removeFilter(_is_not_of_disk)
    finally:
        threading.excepthook = hooks[1]
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_format(card: Mapping[str, Any], place: object) -> None:
    if card.get("format") != _FORMAT:
        found = f"format {card.get('format')!r:.20} of another version of mman_jax"
        raise InputError(place, found, f"format {_FORMAT}: that version, or an empty folder")


def _check_leaves(leaves: list[Any], template: Any, place: object) -> None:
    """Raises an InputError that names the first array whose shape differs from the trainer's."""
    wanted = jax.tree_util.tree_leaves_with_path(template)
    if len(leaves) != len(wanted):
        found = f"{len(leaves)} arrays, of another network"
        raise InputError(place, found, f"{len(wanted)}: the same config, or an empty folder")
    for leaf, (path, like) in zip(leaves, wanted, strict=True):
        if leaf.shape != like.shape or leaf.dtype != like.dtype:
            raise InputError(
                f"{place}: {jax.tree_util.keystr(path)}",
                f"{leaf.dtype} {leaf.shape}, of another network",
                f"{like.dtype} {like.shape}: the same config, or an empty folder",
            )


def _numbered(tree: Any) -> dict[str, np.ndarray]:
    return {f"{i:04d}": x for i, x in enumerate(jax.tree.leaves(processes.gather(tree)))}


def _ordered(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[name] for name in sorted(numbered)]


def _outcome(numbered: Mapping[str, Any]) -> Outcome:
    leaves, count = _ordered(numbered), len(Outcome._fields) - 1
    return Outcome._make([*leaves[:count], Record(*leaves[count:])])


def _digests(folder: pathlib.Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (DIGESTS, f".{DIGESTS}.part"):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            digests[path.relative_to(folder).as_posix()] = digest
    return digests


def _is_not_of_disk(record: logging.LogRecord) -> bool:
    """Filters out asyncio's records of failed writes that Orbax did not await."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, Exception) and refusal(error))


class _WithoutLateWrites:
    """Hook for unraisable exceptions that ignores late writes of TensorStore's threads."""

    def __init__(self, others: Callable[[Any], None]):
        self._others = others

    def __call__(self, unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            self._others(unraisable)


def _remove_old(directory: pathlib.Path) -> None:
    """Removes all but the newest complete checkpoints."""
    steps = sorted(_steps(directory))
    complete = [path for _, path in steps if (path / DIGESTS).is_file()]
    for _, path in steps:
        if path not in complete[-_NEWEST:]:
            shutil.rmtree(path)


def _remove_unfinished(directory: pathlib.Path) -> None:
    """Removes unfinished checkpoints, which take the space of the next one."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            unsigned = [p for _, p in _steps(directory) if not (p / DIGESTS).is_file()]
            left = [*directory.glob("*.orbax-checkpoint-tmp*"), *unsigned]
            for path in left:
                shutil.rmtree(path, ignore_errors=True)
            if not left:
                return
        time.sleep(0.05)  # Orbax's threads may still write into the folders being removed


def _read(step: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import orbax.checkpoint as ocp

    alone, step = _alone(), step.absolute()
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        # The checkpointer's metadata would warn of a file that items never have.
        metadata = handler.metadata(step / "arrays")
        _check_size(step, getattr(metadata, "item_metadata", metadata))
        arrays = reader.restore(step / "arrays", args=ocp.args.StandardRestore())
    handler = ocp.JsonCheckpointHandler(multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        card = reader.restore(step / "card", args=ocp.args.JsonRestore())
    return dict(arrays), dict(card)


def _check_size(step: pathlib.Path, metadata: Any) -> None:
    claimed = 0  # a small checkpoint must not claim much memory
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

    # Arrays are gathered first, so one process saves or reads without waiting for the others.
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )
