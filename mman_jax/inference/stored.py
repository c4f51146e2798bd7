"""Checks of a stored model before its first use; each raises an InputError that names the part."""

import math
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from mman_jax.data.cells import KINDS, Cells, Utterances
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import LIMITS
from mman_jax.inference.familiarity import LEVELS, Familiarity
from mman_jax.systems import Systems, build

_EXPECTED = "a trained model"
_SPARE = 16  # entries of a list or table of the card that may exceed the number of arrays


def nested(
    place: pathlib.Path, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the numbered arrays as a tree, by the paths in the card."""
    paths = card.get("paths") if isinstance(card, dict) else None
    if not isinstance(paths, list) or sorted(arrays) != [f"{i:04d}" for i in range(len(paths))]:
        raise InputError(place, "arrays without a path for each", _EXPECTED)
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for path, number in zip(paths, sorted(arrays), strict=True):
        names = isinstance(path, list) and all(isinstance(name, str) for name in path)
        if not names or not 0 < len(path) <= _SPARE or tuple(path) in flat:
            raise InputError(place, f"an impossible path, {path!r:.100}", _EXPECTED)
        flat[tuple(path)] = arrays[number]
    for path in flat:
        if any(path[:i] in flat for i in range(1, len(path))):
            raise InputError(place, f"an array at a part of the path {path!r:.100}", _EXPECTED)
    return traverse_util.unflatten_dict(flat)


def check_kind(place: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Checks that a checkpoint is a model, and not, for example, one for resuming training."""
    missing = [name for name in ("params", "mean", "scale") if name not in arrays]
    kinds = {"network": dict, "modalities": list, "classes": list, "about": dict}
    missing += [name for name, kind in kinds.items() if not isinstance(card.get(name), kind)]
    if missing:
        raise InputError(place, f"a checkpoint of another kind (no {missing[0]})", _EXPECTED)
    for name in ("modalities", "classes"):
        names = card[name]
        valid = all(isinstance(item, str) and item.isprintable() and item for item in names)
        if not valid or not names or len(set(names)) != len(names):
            raise InputError(f"{place}: {name}", "not a list of distinct names", _EXPECTED)
    most = len(jax.tree.leaves(dict(arrays))) + _SPARE
    level: list[Any] = [card["network"], card["modalities"], card["classes"]]
    for _ in range(_SPARE):  # the networks of no system have more levels
        if any(len(part) > most for part in level):
            raise InputError(f"{place}: network", f"over {most} entries", _EXPECTED)
        items = [i for p in level for i in (p.values() if isinstance(p, dict) else p)]
        level = [item for item in items if isinstance(item, dict | list | tuple)]
    if level:
        raise InputError(f"{place}: network", f"more than {_SPARE} levels of nesting", _EXPECTED)


def temperature(place: pathlib.Path, card: Mapping[str, Any]) -> float:
    """Returns the temperature of the card, in the range of fitted temperatures."""
    value: Any = card.get("temperature")
    low, high = LIMITS
    if type(value) not in (int, float) or not low <= value <= high:
        raise InputError(f"{place}: temperature", f"{value!r:.60}", f"{low:g} to {high:g}")
    return float(value)


def cells(place: pathlib.Path, card: Mapping[str, Any]) -> tuple[type[Cells], dict[str, Any]]:
    """Returns the kind of cells that a model reads, and their options."""
    for kind in KINDS.values():
        if kind.kind in card:
            return kind, kind.check_options(f"{place}: {kind.kind}", card[kind.kind])
    name = card["network"].get("cells")
    return KINDS.get(name, Utterances) if isinstance(name, str) else Utterances, {}


def scaling(place: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> Scaling:
    """Returns the scaling of a model, which matches its modalities."""
    turns, modalities = card.get("turns"), card["modalities"]
    if turns is not None and (type(turns) is not float or not 0 < turns < math.inf):
        raise InputError(f"{place}: turns", f"{turns!r:.60}", "a positive number")
    parts = {name: arrays.get(name, {}) for name in ("mean", "scale", "components", "offset")}
    for name, part in parts.items():
        expected = modalities if name in ("mean", "scale") else parts["components"]
        if not isinstance(part, dict) or not set(part) == set(expected) <= set(modalities):
            raise InputError(f"{place}: {name}", "not one for each modality", ", ".join(modalities))
        for modality, array in part.items():
            where, axes = f"{place}: scaling of modality {modality}", 1 + (name == "components")
            valid = isinstance(array, np.ndarray) and array.dtype == np.float32
            if not valid or array.ndim != axes:
                raise InputError(where, f"no float32 {name} of {axes} axes", _EXPECTED)
            if not array.size or not np.isfinite(array).all():
                raise InputError(where, "empty, or not finite", _EXPECTED)
    for modality, mean in parts["mean"].items():
        scale, offset = parts["scale"][modality], parts["offset"].get(modality, mean)
        matrix = parts["components"].get(modality, np.zeros((len(mean), len(offset)), bool))
        shapes = mean.shape == scale.shape and matrix.shape == (len(mean), len(offset))
        if not shapes or (scale <= 0).any():
            where = f"{place}: scaling of modality {modality}"
            raise InputError(where, "arrays that do not fit each other", _EXPECTED)
    return Scaling(**parts, turns=turns)


def units(place: pathlib.Path, arrays: Mapping[str, Any], targets: int) -> np.ndarray | None:
    """Returns the units [2, C] of a model of numbers; None for a model of classes."""
    if "units" not in arrays:
        return None
    group = arrays["units"]
    values: Any = group.get("of_targets") if isinstance(group, dict) else None
    valid = isinstance(values, np.ndarray) and values.dtype == np.float32
    if not valid or values.shape != (2, targets):
        raise InputError(f"{place}: units", f"no float32 of [2, {targets}]", _EXPECTED)
    if not np.isfinite(values).all() or (values[1] <= 0).any():
        raise InputError(f"{place}: units", "no mean and deviation of each target", _EXPECTED)
    return values


def familiarity(
    place: pathlib.Path, arrays: Mapping[str, Any], modalities: Collection[str]
) -> Familiarity | None:
    """Returns the distribution of a model's training data; None if it is not stored."""
    if "familiarity" not in arrays:
        return None
    quantiles = arrays["familiarity"]
    valid = isinstance(quantiles, dict) and sorted(quantiles) == sorted(modalities)
    for x in quantiles.values() if valid else ():
        valid = valid and isinstance(x, np.ndarray) and x.dtype == np.float32
        valid = valid and x.shape == LEVELS.shape and bool((np.diff(x) >= 0).all())
    if not valid:
        raise InputError(f"{place}: familiarity", "no quantiles of each modality", _EXPECTED)
    return Familiarity(quantiles)


def check_params(
    place: pathlib.Path,
    params: Any,
    network: Mapping[str, Any],
    dims: Mapping[str, int],
    classes: int,
    systems: Systems,
) -> None:
    """Checks that parameters [S, ...] match the described system; computes nothing."""
    try:
        system = build(network, list(dims), classes, systems)
        system.parameter_shapes(dims)
    except InputError as error:
        raise InputError(place, str(error), _EXPECTED) from error
    except Exception as error:
        # An invalid description may raise any exception.
        found = f"a network that cannot be built ({type(error).__name__}: {error!s:.200})"
        raise InputError(place, found, _EXPECTED) from error
    system.check_params(place, params, dims)
