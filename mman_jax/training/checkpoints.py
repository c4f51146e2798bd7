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
from mman_jax.training import disk, integrity, processes
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.state import Record
from mman_jax.training.trainer import Trainer

_KEPT = 2
_TRIES = 20

_FORMAT = 1
"""Of a snapshot's arrays; whoever changes what they are or their order counts it up."""

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


def pack(snapshot: Snapshot) -> tuple[dict[str, Any], dict[str, Any]]:
    """A snapshot as arrays and a card; every process must call it, and gets all of it."""
    finished = {name: pack_outcome(outcome) for name, outcome in snapshot.finished.items()}
    arrays = {"state": _numbered(snapshot.state), "history": _numbered(snapshot.history)}
    card = {"format": _FORMAT, "stage": snapshot.stage, "finished": list(finished)}
    return arrays | ({"finished": finished} if finished else {}), card


def pack_outcome(outcome: Outcome) -> dict[str, np.ndarray]:
    """What a stage gave, as arrays of the shapes that `Outcome` names, numbered in its order."""
    return _numbered(outcome)


def unpack_outcome(arrays: Mapping[str, Any]) -> Outcome:
    """The outcome that `pack_outcome` was given."""
    *scores, history = _split_outcome(_ordered(arrays))
    return Outcome(*scores, Record(*history))


def unpack(
    arrays: Mapping[str, Any], card: Mapping[str, Any], trainer: Trainer, place: object = ""
) -> Snapshot:
    """The snapshot that `pack` was given.

    Args:
        arrays: of a checkpoint.
        card: of the same.
        trainer: who goes on from there.
        place: where the checkpoint is, for messages.

    Raises:
        InputError: if another version of the package or another network wrote it.
    """
    place = place or "checkpoint"
    _check_format(card, place)
    if card["stage"] not in trainer.stages:
        raise InputError(
            place, f"stage {card['stage']!r:.40}", "one of " + ", ".join(trainer.stages)
        )
    seeds = len(arrays["state"]["0000"])
    template = trainer.template(card["stage"], seeds)
    leaves = _ordered(arrays["state"])
    _check_leaves(leaves, template, place)
    finished = {name: unpack_outcome(arrays["finished"][name]) for name in card["finished"]}
    return Snapshot(
        card["stage"],
        jax.tree.unflatten(jax.tree.structure(template), leaves),
        Record(*_ordered(arrays["history"])),
        finished,
    )


def unpack_finished(
    arrays: Mapping[str, Any], card: Mapping[str, Any], stage: str, place: object = ""
) -> Outcome:
    """What a stage gave, from the checkpoint of a snapshot with that stage finished.

    Args:
        arrays: of a checkpoint.
        card: of the same.
        stage: its name.
        place: where the checkpoint is, for messages.

    Raises:
        InputError: if another version of the package wrote it, or the stage is not finished.
    """
    place = place or "checkpoint"
    _check_format(card, place)
    if stage not in card["finished"]:
        raise InputError(place, f"stage {stage} is not finished", "a finished run")
    return unpack_outcome(arrays["finished"][stage])


def _check_format(card: Mapping[str, Any], place: object) -> None:
    if card.get("format") != _FORMAT:
        found = f"format {card.get('format')!r:.20} of another version of mman_jax"
        raise InputError(place, found, f"format {_FORMAT}: that version, or an empty folder")


def _check_leaves(leaves: list[Any], template: Any, place: object) -> None:
    """Refuses a state of other sizes than the trainer's, by the name of its first such part."""
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


def _numbered(tree: Any) -> dict[str, np.ndarray]:
    return {f"{i:04d}": x for i, x in enumerate(jax.tree.leaves(processes.whole(tree)))}


def _ordered(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[name] for name in sorted(numbered)]


def _split_outcome(leaves: list[Any]) -> list[Any]:
    scores = len(Outcome._fields) - 1
    return [*leaves[:scores], leaves[scores:]]
