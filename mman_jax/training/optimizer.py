"""The optimizer of a group of parameters, from a stage's settings."""

from collections.abc import Mapping
from typing import Any

import optax

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import owner

_OPTIMIZERS = {"adamw": optax.adamw, "adam": optax.adam, "adadelta": optax.adadelta}


def optimizer(settings: Mapping[str, Any], group: str) -> optax.GradientTransformation:
    """What trains a group: clipping by its own norm, then the optimizer at its own rate.

    Args:
        settings: of a stage, see `Trainer`.
        group: of parameters: their top-level name.

    Raises:
        InputError: an unknown optimizer.
    """
    rates, name = settings["learning_rate"], settings.get("optimizer", "adamw")
    if name not in _OPTIMIZERS:
        raise InputError("optimizer", repr(name), nearest(str(name), _OPTIMIZERS))
    own = owner(group, rates)
    decay = {"weight_decay": settings["weight_decay"]} if name != "adam" else {}
    return optax.chain(
        optax.clip_by_global_norm(settings["clip"]),
        _OPTIMIZERS[name](rates[own or "default"], **decay),
    )
