"""How long the validation loss has not fallen, and what that does to the learning rates."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from mman_jax.errors import InputError
from mman_jax.types import Array


class Lowest(NamedTuple):
    """The lowest validation loss so far.

    Attributes:
        loss: [T] float32 in nats.
        epoch: [T] int32, when it was; 0 before the first.
    """

    loss: Array
    epoch: Array


class Plateau(NamedTuple):
    """Learning rates that fall where the loss does not.

    Attributes:
        patience: epochs without a lower validation loss after which they fall, and fall again.
        factor: what they are then multiplied by.
    """

    patience: int
    factor: float


def of_settings(settings: Mapping[str, Any], heads: tuple[str, ...]) -> Plateau | None:
    """The `plateau` of a stage's settings; None: its rates stay as they are.

    Raises:
        InputError: a stage of several heads, each of which has a loss of its own.
    """
    found = settings.get("plateau")
    if found and len(heads) > 1:
        raise InputError("plateau", f"given for {len(heads)} heads", "a stage of one head")
    return Plateau(found["patience"], found["factor"]) if found else None


def start(heads: int) -> Lowest:
    """Before the first epoch."""
    return Lowest(jnp.full(heads, jnp.inf, jnp.float32), jnp.zeros(heads, jnp.int32))


def note(lowest: Lowest, epoch: Array, losses: Array) -> Lowest:
    """After an epoch, counted from 1, with validation losses [T]."""
    lower = losses < lowest.loss
    return Lowest(jnp.where(lower, losses, lowest.loss), jnp.where(lower, epoch, lowest.epoch))


def fall(pace: Array, plateau: Plateau, lowest: Lowest, epoch: Array) -> Array:
    """The pace for the next epoch."""
    waited = epoch - lowest.epoch[0]
    late = (waited > 0) & (waited % plateau.patience == 0)
    return jnp.where(late, pace * jnp.float32(plateau.factor), pace)
