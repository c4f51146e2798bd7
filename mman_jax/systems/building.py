"""From a config to a network: which towers a system has, and what fuses them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError, nearest
from mman_jax.layers.fusion import LateFusion
from mman_jax.layers.tower import Tower
from mman_jax.systems.mman import ATTENTION_TOWER, CONCATENATION_TOWER, FUSION, Network

EARLY = {"attention": ATTENTION_TOWER, "concatenation": CONCATENATION_TOWER}
LATE = ("dense", "clstm")
SKIPS = ("add", "concatenate")


def _attention(settings: Mapping[str, Any]) -> dict[str, Any]:
    place = "config.network.early.attention"
    skip = settings.get("skip", "add")
    if skip not in SKIPS:
        raise InputError(f"{place}.skip", repr(skip), nearest(skip, SKIPS))
    if skip == "add" and settings["value"] != settings["model"]:
        found = f"{settings['value']}, with model {settings['model']}"
        raise InputError(f"{place}.value", found, "equal sizes, or skip=concatenate")
    return dict(settings)


def _block(settings: Mapping[str, Any]) -> dict[str, Any]:
    hidden, dense, dropout = settings["hidden"], settings["dense"], settings["dropout"]
    if isinstance(hidden, int) or not hidden or min(hidden) < 1 or dense < 1:
        found = f"hidden {hidden}, dense {dense}"
        raise InputError("config.network", found, "sizes of 1 or more, hidden=(300,) a layer")
    rates = (dropout, settings.get("input_dropout", 0.0))
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError("config.network", f"dropout {rate}", "a rate from 0 to 1")
    return {
        "hidden": tuple(settings["hidden"]),
        "dense": settings["dense"],
        "dropout": settings["dropout"],
    }


def build(network: Mapping[str, Any], modalities: Sequence[str], classes: int) -> Network:
    """The network that a config describes, for a corpus's modalities.

    Args:
        network: up to four entries, each optional. `unimodal`: sizes of the uni-modal towers,
            `default` and any modality's own by its name. `early`: the tower of all modalities;
            its `kind` is `attention` or `concatenation`. `fusion`: the late fusion; its `kind` is
            `dense` or `clstm`. Without `fusion` there is one tower, and it is the system. And
            `context`, by default True: False answers each utterance by itself; and
            `modality_dropout`, by default 0, a rate.
        modalities: names, in order.
        classes: C.

    Raises:
        InputError: if a kind is unknown, or the towers and the fusion do not make one system.

    Examples:
        >>> block = {"hidden": (8,), "dense": 4, "dropout": 0.3, "input_dropout": 0.0}
        >>> config = {"unimodal": {"default": block}, "fusion": {"kind": "dense"}}
        >>> network = build(config, ["speech", "face"], classes=3)
        >>> list(network.towers), network.head
        (['speech', 'face'], 'fusion')
    """
    reserved = {*EARLY.values(), FUSION} & set(modalities)
    if reserved:
        raise InputError(
            "modalities", f"one is named {reserved.pop()!r}", "names that no tower or fusion bears"
        )
    towers, inputs = {}, {}
    rate = network.get("modality_dropout", 0.0)
    if not 0 <= rate < 1:
        raise InputError("config.network.modality_dropout", str(rate), "a rate from 0 to below 1")
    settings_of_all = {"context": network.get("context", True), "modality_dropout": rate}
    for modality in modalities if "unimodal" in network else ():
        settings = network["unimodal"].get(modality, network["unimodal"]["default"])
        towers[modality] = Tower(_block(settings), classes, input_dropout=settings["input_dropout"])
        inputs[modality] = (modality,)
    if "early" in network:
        early = network["early"]
        if early["kind"] not in EARLY:
            expected = nearest(early["kind"], EARLY)
            raise InputError("config.network.early.kind", repr(early["kind"]), expected)
        name = EARLY[early["kind"]]
        attention = _attention(early["attention"]) if name == ATTENTION_TOWER else None
        towers[name] = Tower(_block(early), classes, attention, early["input_dropout"])
        inputs[name] = tuple(modalities)
    if "fusion" not in network:
        if len(towers) != 1:
            raise InputError(
                "config.network",
                f"{len(towers)} towers ({', '.join(towers)}) and no fusion",
                "one tower, or a fusion",
            )
        return Network(towers, inputs, **settings_of_all)
    if not towers:
        raise InputError("config.network", "a fusion and no tower", "towers to fuse")
    fusion = network["fusion"]
    if fusion["kind"] not in LATE:
        raise InputError(
            "config.network.fusion.kind", repr(fusion["kind"]), nearest(fusion["kind"], LATE)
        )
    block = _block(fusion) if fusion["kind"] == "clstm" else None
    return Network(towers, inputs, LateFusion(classes, block), **settings_of_all)
