"""Arrays and a card on disk, through Orbax; nothing else here knows Orbax."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mman_jax.errors import InputError
from mman_jax.training import processes
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.state import Record
from mman_jax.training.trainer import Trainer


def save(directory: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Writes the next checkpoint, whole or not at all, and drops all but the newest two.

    Args:
        directory: of all checkpoints of one run.
        arrays: nested dicts of arrays.
        card: what JSON can hold.

    Raises:
        InputError: if the folder cannot be written.
    """
    items = ocp.args.Composite(
        arrays=ocp.args.StandardSave(jax.tree.map(np.asarray, dict(arrays))),
        card=ocp.args.JsonSave(dict(card)),
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        options = _options(max_to_keep=2)
        with ocp.CheckpointManager(directory.absolute(), options=options) as manager:
            newest = manager.latest_step()
            manager.save(0 if newest is None else newest + 1, args=items)
    except OSError as error:
        raise InputError(directory, f"cannot be written ({error})", "a writable folder") from error


def restore(directory: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The arrays (NumPy, nested dicts) and the card of the newest checkpoint that can be read.

    None where there is no checkpoint.

    Raises:
        InputError: if there are some and none can be read.
    """
    if not directory.is_dir():
        return None
    items = ocp.args.Composite(arrays=ocp.args.StandardRestore(), card=ocp.args.JsonRestore())
    options = _options(read_only=True)
    with ocp.CheckpointManager(directory.absolute(), options=options) as manager:
        damage = None
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                found = manager.restore(step, args=items)
                return found["arrays"], found["card"]
            except (ValueError, KeyError, OSError) as error:
                damage = damage or (step, error)
    if damage is None:
        return None
    step, error = damage
    first = str(error).splitlines()[0]
    raise InputError(directory / str(step), f"unreadable ({first})", "a checkpoint") from error


def pack(snapshot: Snapshot) -> tuple[dict[str, Any], dict[str, Any]]:
    """A snapshot as arrays and a card; every process must call it, and gets all of it."""
    finished = {name: pack_outcome(outcome) for name, outcome in snapshot.finished.items()}
    arrays = {"state": _numbered(snapshot.state), "history": _numbered(snapshot.history)}
    card = {"stage": snapshot.stage, "finished": list(finished)}
    return arrays | ({"finished": finished} if finished else {}), card


def pack_outcome(outcome: Outcome) -> dict[str, np.ndarray]:
    """What a stage gave, as arrays."""
    return _numbered(outcome)


def unpack_outcome(arrays: Mapping[str, Any]) -> Outcome:
    """The outcome that `pack_outcome` was given."""
    *scores, history = _split_outcome(_ordered(arrays))
    return Outcome(*scores, Record(*history))


def unpack(arrays: Mapping[str, Any], card: Mapping[str, Any], trainer: Trainer) -> Snapshot:
    """The snapshot that `pack` was given."""
    seeds = len(arrays["state"]["0000"])
    structure = jax.tree.structure(trainer.template(card["stage"], seeds))
    finished = {name: unpack_outcome(arrays["finished"][name]) for name in card["finished"]}
    return Snapshot(
        card["stage"],
        jax.tree.unflatten(structure, _ordered(arrays["state"])),
        Record(*_ordered(arrays["history"])),
        finished,
    )


def _options(**settings: Any) -> ocp.CheckpointManagerOptions:
    # Arrays come here whole, so that whoever saves or reads does it alone, waiting for no other
    # process.
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )
    return ocp.CheckpointManagerOptions(
        create=False, enable_async_checkpointing=False, multiprocessing_options=alone, **settings
    )


def _numbered(tree: Any) -> dict[str, np.ndarray]:
    return {f"{i:04d}": x for i, x in enumerate(jax.tree.leaves(processes.whole(tree)))}


def _ordered(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[name] for name in sorted(numbered)]


def _split_outcome(leaves: list[Any]) -> list[Any]:
    scores = len(Outcome._fields) - 1
    return [*leaves[:scores], leaves[scores:]]
