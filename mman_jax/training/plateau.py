"""How long the validation loss has not fallen, and what that does to the learning rates."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

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


def fall(
    pace: Array, plateau: Plateau, lowest: Lowest, epoch: Array, known: Array | int = -1
) -> Array:
    """The pace for the next epoch.

    Args:
        pace: of this one.
        plateau: how it falls.
        lowest: with this epoch noted.
        epoch: counted from 1.
        known: how often it falls now, where that is known before; -1: where it is `late`.
    """
    times = jnp.where(jnp.asarray(known) < 0, late(plateau, lowest, epoch), known)
    return pace * jnp.float32(plateau.factor) ** times


def late(plateau: Plateau, lowest: Lowest, epoch: Array) -> Array:
    """Whether patience has run out after an epoch, once more."""
    waited = epoch - lowest.epoch[0]
    return (waited > 0) & (waited % plateau.patience == 0)


def falls(losses: np.ndarray, plateau: Plateau) -> np.ndarray:
    """After which epochs [E, S] bool the rates fell, by the validation losses [E, S] of them."""
    lowest = np.fmin.accumulate(np.vstack([np.full_like(losses[:1], np.inf), losses]), axis=0)
    epochs = np.arange(1, len(losses) + 1)[:, None]
    # A loss that is not finite is never lower.
    when = np.maximum.accumulate(np.where(losses < lowest[:-1], epochs, 0), axis=0)
    waited = epochs - when
    return (waited > 0) & (waited % plateau.patience == 0)
