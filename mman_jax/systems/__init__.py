"""Registry of systems; each system has its own file."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.bc_lstm import BcLSTM
from mman_jax.systems.dialogue_rnn import DialogueRNN, DialogueRNNBi
from mman_jax.systems.fmt import FMT
from mman_jax.systems.linear import Linear
from mman_jax.systems.lmf import LMF
from mman_jax.systems.mfm import MFM
from mman_jax.systems.mister_e import MisterE, MisterECausal
from mman_jax.systems.mman import MMAN
from mman_jax.systems.mult import MulT
from mman_jax.systems.raven import RAVEN
from mman_jax.systems.rozgic import Rozgic
from mman_jax.systems.sdt import SDT, SDTCausal
from mman_jax.systems.tripathi import Tripathi

Systems = Mapping[str, type[BaseSystem]]
"""Classes of systems, by name."""

SYSTEMS: dict[str, type[BaseSystem]] = {
    "mman": MMAN,
    "mfm": MFM,
    "raven": RAVEN,
    "fmt": FMT,
    "mult": MulT,
    "rozgic": Rozgic,
    "bc_lstm": BcLSTM,
    "tripathi": Tripathi,
    "lmf": LMF,
    "dialogue_rnn": DialogueRNN,
    "dialogue_rnn_bi": DialogueRNNBi,
    "sdt": SDT,
    "sdt_causal": SDTCausal,
    "mister_e": MisterE,
    "mister_e_causal": MisterECausal,
    "linear": Linear,
}
"""The registered systems, in the order of tables; `use` adds a user's class."""


def use(name: str) -> type[BaseSystem]:
    """Returns the class of a system, and registers it so that settings can name it.

    Args:
        name: a name in `SYSTEMS`, or `module:Class`; importing the module runs its code.

    Raises:
        InputError: the system is unknown or cannot be imported.
    """
    module, colon, kind = name.partition(":")
    if not colon or name in SYSTEMS:
        return _named({"system": name}, SYSTEMS)
    try:
        system_class = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError) as error:
        raise InputError("system", f"{name!r:.60} ({error})", "an importable class") from error
    except Exception as error:  # a user's module may raise anything
        why = f"{name!r:.60}, whose module fails ({type(error).__name__}: {error})"
        raise InputError("system", why, "a module that can be imported") from error
    if not (isinstance(system_class, type) and issubclass(system_class, BaseSystem)):
        expected = "a subclass of mman_jax.systems.base.System"
        raise InputError("system", f"{name!r:.60}, which is not a system", expected)
    SYSTEMS[name] = system_class
    return system_class


def build(
    network: Mapping[str, Any],
    modalities: Sequence[str],
    outputs: int,
    systems: Systems = SYSTEMS,
) -> BaseSystem:
    """Builds a system from its settings.

    Args:
        network: the system's settings (see its `from_settings`), and its name in `systems` under
            `system`; by default `mman`.
        modalities: names, in order.
        outputs: C, the number of classes, or of predicted numbers (see `for_numbers`).
        systems: classes by name, which may include a user's.

    Raises:
        InputError: the system is unknown, or one of its settings is invalid.

    Examples:
        >>> block = {"hidden": (8,), "dense": 4, "dropout": 0.3, "input_dropout": 0.0}
        >>> settings = {"unimodal": {"default": block}, "fusion": {"kind": "dense"}}
        >>> system = build(settings, ["speech", "face"], outputs=3)
        >>> [(stage.name, stage.heads) for stage in system.stages()]
        [('towers', ('speech', 'face')), ('fusion', ('fusion',))]
    """
    settings = dict(network)
    settings.pop("system", None)
    return _named(network, systems).from_settings(settings, modalities, outputs)


def for_outputs(network: Mapping[str, Any], outputs: str) -> dict[str, Any]:
    """Returns a system's settings, adapted to a task's outputs: `classes` or `numbers`.

    Raises:
        InputError: the system is unknown, or learns only classes.
    """
    if outputs == "classes":
        return dict(network)
    return _named(network, SYSTEMS).for_numbers(network)


def _named(network: Mapping[str, Any], systems: Systems) -> type[BaseSystem]:
    name = network.get("system", "mman")
    if name not in systems and ":" in str(name):
        expected = "a call of mman_jax.systems.use with this name first: it runs the module"
        raise InputError("network.system", f"{name!r:.60}, which is not registered", expected)
    if name not in systems:
        raise InputError("network.system", f"unknown {name!r:.40}", nearest(str(name), systems))
    return systems[name]
