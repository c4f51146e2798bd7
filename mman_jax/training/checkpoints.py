"""Arrays and a card on disk, through Orbax; nothing else here knows Orbax."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mman_jax.errors import InputError
from mman_jax.training.stage import Record
from mman_jax.training.trainer import Outcome, Snapshot, Trainer


def save(directory: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Writes the next checkpoint, whole or not at all, and drops all but the newest two.

    Args:
        directory: of all checkpoints of one run.
        arrays: nested dicts of arrays.
        card: what JSON can hold.

    Raises:
        InputError: if the folder cannot be written.
    """
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    items = ocp.args.Composite(
        arrays=ocp.args.StandardSave(jax.tree.map(np.asarray, dict(arrays))),
        card=ocp.args.JsonSave(dict(card)),
    )
    try:
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
    with ocp.CheckpointManager(directory.absolute()) as manager:
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
    """A snapshot as arrays and a card."""
    finished = {name: _numbered(outcome) for name, outcome in snapshot.finished.items()}
    arrays = {"state": _numbered(snapshot.state), "history": _numbered(snapshot.history)}
    card = {"stage": snapshot.stage, "finished": sorted(finished)}
    return arrays | ({"finished": finished} if finished else {}), card


def unpack(arrays: Mapping[str, Any], card: Mapping[str, Any], trainer: Trainer) -> Snapshot:
    """The snapshot that `pack` was given."""
    seeds = len(arrays["state"]["0000"])
    structure = jax.tree.structure(trainer.template(card["stage"], seeds))
    finished = {}
    for name in card["finished"]:
        *scores, history = _split_outcome(_ordered(arrays["finished"][name]))
        finished[name] = Outcome(*scores, Record(*history))
    return Snapshot(
        card["stage"],
        jax.tree.unflatten(structure, _ordered(arrays["state"])),
        Record(*_ordered(arrays["history"])),
        finished,
    )


def _numbered(tree: Any) -> dict[str, np.ndarray]:
    return {f"{i:04d}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(tree))}


def _ordered(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[name] for name in sorted(numbered)]


def _split_outcome(leaves: list[Any]) -> list[Any]:
    scores = len(Outcome._fields) - 1
    return [*leaves[:scores], leaves[scores:]]
