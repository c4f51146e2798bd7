"""What MMAN is made of, from settings: its towers, what each reads, and its fusion."""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError, nearest
from mman_jax.layers.fusion import LateFusion
from mman_jax.layers.tower import Tower
from mman_jax.systems.base import check_rate, check_size, check_sizes

FUSION = "fusion"
EARLY = {"attention": "mma", "concatenation": "ef"}
"""The tower of all modalities, by how it joins them."""

_LATE = ("dense", "clstm")
_SKIPS = ("add", "concatenate")


def towers_and_fusion(
    settings: Mapping[str, Any], modalities: Sequence[str], classes: int
) -> tuple[dict[str, Tower], dict[str, tuple[str, ...]], LateFusion | None]:
    """The towers by name, the modalities that each reads, and the fusion, if there is one.

    Args:
        settings: see `MMAN.from_settings`.
        modalities: names, in order.
        classes: C.

    Raises:
        InputError: a setting that cannot be, or towers and a fusion that are not one system.
    """
    taken = {*EARLY.values(), FUSION} & set(modalities)
    if taken:
        expected = "names that no tower or fusion bears"
        raise InputError("modalities", f"one is named {taken.pop()!r}", expected)
    towers, inputs = {}, {}
    for modality in modalities if "unimodal" in settings else ():
        entry = modality if modality in settings["unimodal"] else "default"
        own = settings["unimodal"][entry]
        block = _block(f"network.unimodal.{entry}", own)
        towers[modality] = Tower(block, classes, input_dropout=own["input_dropout"])
        inputs[modality] = (modality,)
    if "early" in settings:
        early = settings["early"]
        if early["kind"] not in EARLY:
            found = repr(early["kind"])
            raise InputError("network.early.kind", found, nearest(early["kind"], EARLY))
        name, attention = EARLY[early["kind"]], None
        if early["kind"] == "attention":
            attention = _attention("network.early.attention", early["attention"])
        block = _block("network.early", early)
        towers[name] = Tower(block, classes, attention, early["input_dropout"])
        inputs[name] = tuple(modalities)
    fusion = _fusion(settings["fusion"], classes) if "fusion" in settings else None
    if fusion is None and len(towers) != 1:
        found = f"{len(towers)} towers ({', '.join(towers)}) and no fusion"
        raise InputError("network", found, "one tower, or a fusion")
    if fusion is not None and not towers:
        raise InputError("network", "a fusion and no tower", "towers to fuse")
    return towers, inputs, fusion


def clstm(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> dict[str, Any]:
    """Sizes of a cLSTM block: units of its LSTM layers and of its dense layer; dropout rate."""
    return {"hidden": tuple(hidden), "dense": dense, "dropout": dropout}


def _attention(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    skip = settings.get("skip", "add")
    if skip not in _SKIPS:
        raise InputError(f"{place}.skip", repr(skip), nearest(str(skip), _SKIPS))
    for name in ("model", "key", "value"):
        check_size(f"{place}.{name}", settings[name])
    if skip == "add" and settings["value"] != settings["model"]:
        found = f"{settings['value']}, with model {settings['model']}"
        raise InputError(f"{place}.value", found, "equal sizes, or skip=concatenate")
    return dict(settings)


def _block(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    check_sizes(f"{place}.hidden", settings["hidden"])
    check_size(f"{place}.dense", settings["dense"])
    for name in ("dropout", "input_dropout"):
        check_rate(f"{place}.{name}", settings.get(name, 0.0))
    return clstm(settings["hidden"], settings["dense"], settings["dropout"])


def _fusion(settings: Mapping[str, Any], classes: int) -> LateFusion:
    kind = settings["kind"]
    if kind not in _LATE:
        raise InputError("network.fusion.kind", repr(kind), nearest(str(kind), _LATE))
    block = _block("network.fusion", settings) if kind == "clstm" else None
    return LateFusion(classes, block, bool(settings.get("numbers", False)))
