"""Where training stands, as the arrays and the card of a checkpoint."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.training import processes
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.state import Record
from mman_jax.training.trainer import Trainer

_FORMAT = 1
"""Of a snapshot's arrays; whoever changes what they are or their order counts it up."""


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


def _numbered(tree: Any) -> dict[str, np.ndarray]:
    return {f"{i:04d}": x for i, x in enumerate(jax.tree.leaves(processes.whole(tree)))}


def _ordered(numbered: Mapping[str, Any]) -> list[Any]:
    return [numbered[name] for name in sorted(numbered)]


def _split_outcome(leaves: list[Any]) -> list[Any]:
    scores = len(Outcome._fields) - 1
    return [*leaves[:scores], leaves[scores:]]
