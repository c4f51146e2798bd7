"""The optimizer of a group of parameters, from a stage's settings."""

import functools
from collections.abc import Mapping
from typing import Any

import optax

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import owner

_OPTIMIZERS = {
    "adamw": optax.adamw,
    "adam": optax.adam,
    "adadelta": functools.partial(optax.adadelta, rho=0.95, eps=1e-8),  # as Keras had it
}
_OF_ADAM = ("b2", "eps")


def optimizer(settings: Mapping[str, Any], group: str) -> optax.GradientTransformation:
    """What trains a group: clipping by its own norm, then the optimizer at its own rate.

    Args:
        settings: of a stage, see `Programs`.
        group: of parameters: their top-level name.

    Raises:
        InputError: an unknown optimizer, or a setting that it does not have.
    """
    rates, name = settings["learning_rate"], settings.get("optimizer", "adamw")
    if name not in _OPTIMIZERS:
        raise InputError("optimizer", repr(name), nearest(str(name), _OPTIMIZERS))
    own = owner(group, rates)
    more = {field: settings[field] for field in _OF_ADAM if field in settings}
    if more and name == "adadelta":
        raise InputError("optimizer", f"{name} with {' and '.join(more)}", "adam or adamw")
    if name != "adam":
        more["weight_decay"] = settings["weight_decay"]
    return optax.chain(
        optax.clip_by_global_norm(settings["clip"]),
        _OPTIMIZERS[name](rates[own or "default"], **more),
    )


def plain(settings: Any) -> Any:
    """Mappings as dicts that nobody else changes."""
    if hasattr(settings, "items"):
        return {name: plain(value) for name, value in settings.items()}
    return settings
