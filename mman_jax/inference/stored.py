"""What a stored model must hold, checked before anything is computed with it."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import LIMITS
from mman_jax.systems import Systems, build

_EXPECTED = "a trained model"
_SPARE = 16  # entries that a list or table of the card may have beyond the arrays of the model


def check_there(directory: pathlib.Path, file: str) -> None:
    """Refuses a folder without a model, and one that another version wrote.

    Raises:
        InputError: saying which.
    """
    if (directory / file).exists():
        return
    if directory.is_dir() and any(path.name.isdecimal() for path in directory.iterdir()):
        found = "a model of an earlier version of mman_jax"
        raise InputError(directory, found, f"{file}: train it again, or use that version")
    raise InputError(directory, "no trained model", "the model folder of a finished run")


def nested(
    place: pathlib.Path, found: Mapping[str, np.ndarray], card: Mapping[str, Any]
) -> dict[str, Any]:
    """The tree that numbered arrays were, by the paths of the card.

    Raises:
        InputError: paths that are none, or not one for each array.
    """
    paths = card.get("paths") if isinstance(card, dict) else None
    good = isinstance(paths, list) and sorted(found) == [f"{i:04d}" for i in range(len(paths))]
    if not good or not all(isinstance(p, list) and 0 < len(p) <= _SPARE for p in paths):
        raise InputError(place, "arrays without a path for each", _EXPECTED)
    tree: dict[str, Any] = {}
    for path, number in zip(paths, sorted(found), strict=True):
        at = tree
        for name in path[:-1]:
            at = at.setdefault(name, {}) if isinstance(name, str) else None
            if not isinstance(at, dict):
                break
        if not isinstance(at, dict) or not isinstance(path[-1], str) or path[-1] in at:
            raise InputError(place, f"a path that cannot be, {path!r:.100}", _EXPECTED)
        at[path[-1]] = found[number]
    return tree


def check_kind(place: pathlib.Path, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another kind, such as one to go on training from.

    Raises:
        InputError: naming what is missing or of another type.
    """
    missing = [name for name in ("params", "mean", "scale") if name not in arrays]
    kinds = {"network": dict, "modalities": list, "classes": list, "about": dict}
    missing += [name for name, kind in kinds.items() if not isinstance(card.get(name), kind)]
    if missing:
        raise InputError(place, f"a checkpoint of another kind (no {missing[0]})", _EXPECTED)
    for name in ("modalities", "classes"):
        names = card[name]
        good = all(isinstance(item, str) and item.isprintable() and item for item in names)
        if not good or not names or len(set(names)) != len(names):
            raise InputError(f"{place}: {name}", "no list of different names", _EXPECTED)
    most = len(jax.tree.leaves(dict(arrays))) + _SPARE
    level: list[Any] = [card["network"], card["modalities"], card["classes"]]
    for _ in range(_SPARE):  # levels; more are no network's
        if any(len(part) > most for part in level):
            raise InputError(f"{place}: network", f"over {most} entries", _EXPECTED)
        items = [i for p in level for i in (p.values() if isinstance(p, dict) else p)]
        level = [item for item in items if isinstance(item, dict | list | tuple)]
    if level:
        raise InputError(f"{place}: network", f"nested over {_SPARE} deep", _EXPECTED)


def temperature(place: pathlib.Path, card: Mapping[str, Any]) -> float:
    """The temperature of the card; 1 where it has none.

    Raises:
        InputError: one that no run fits.
    """
    found = card.get("temperature", 1.0)
    low, high = LIMITS
    if type(found) not in (int, float) or not low <= found <= high:
        raise InputError(f"{place}: temperature", f"{found!r:.60}", f"{low:g} to {high:g}")
    return float(found)


def words(place: pathlib.Path, card: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the words of utterances are laid out; None where utterances are the cells.

    Raises:
        InputError: a description that cannot be.
    """
    if "words" not in card:
        return None
    found = card["words"]
    good = isinstance(found, dict) and sorted(found) == ["most", "pivot"]
    good = good and type(found["most"]) is int and found["most"] > 0
    if not good or not isinstance(found["pivot"], str) or not found["pivot"].isprintable():
        raise InputError(f"{place}: words", "no pivot and number of words", _EXPECTED)
    return found


def check_scaling(place: pathlib.Path, scaling: Scaling, modalities: list[str]) -> None:
    """Refuses statistics that are not those of these modalities.

    Raises:
        InputError: naming the modality.
    """
    for name, arrays in (("mean", scaling.mean), ("scale", scaling.scale)):
        if not isinstance(arrays, dict) or sorted(arrays) != sorted(modalities):
            raise InputError(f"{place}: {name}", "not one for each modality", ", ".join(modalities))
    for modality in modalities:
        where = f"{place}: scaling of modality {modality}"
        mean, scale = scaling.mean[modality], scaling.scale[modality]
        for array in (mean, scale):
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 1:
                raise InputError(where, "no vector of float32", _EXPECTED)
            if not array.size or not np.isfinite(array).all():
                raise InputError(where, "empty, or not finite", _EXPECTED)
        if mean.shape != scale.shape or (scale <= 0).any():
            raise InputError(where, "a mean and a scale that do not fit", _EXPECTED)


def units(place: pathlib.Path, arrays: Mapping[str, Any], targets: int) -> np.ndarray | None:
    """The units [2, C] of a model that answers numbers; None of one that answers classes.

    Raises:
        InputError: units that are none.
    """
    if "units" not in arrays:
        return None
    found = arrays["units"]
    found = found.get("of_targets") if isinstance(found, dict) else None
    where = f"{place}: units"
    if not isinstance(found, np.ndarray) or found.dtype != np.float32:
        raise InputError(where, "no array of float32", _EXPECTED)
    if found.shape != (2, targets) or not np.isfinite(found).all() or (found[1] <= 0).any():
        raise InputError(where, "no mean and deviation of each target", _EXPECTED)
    return found


def check_params(
    place: pathlib.Path,
    params: Any,
    network: Mapping[str, Any],
    dims: Mapping[str, int],
    classes: int,
    systems: Systems,
) -> None:
    """Refuses parameters that are not those of S systems as described; computes nothing.

    Args:
        place: for messages.
        params: leading axis S.
        network: settings of the system.
        dims: D of each modality.
        classes: C.
        systems: by name.

    Raises:
        InputError: naming the first parameter that is missing, unknown, of another shape or dtype,
            or not finite.
    """
    try:
        system = build(network, list(dims), classes, systems)
        system.parameter_shapes(dims)
    except InputError as error:
        raise InputError(place, str(error), _EXPECTED) from error
    except Exception as error:
        # A description that no run wrote can fail in any way; none of them is a bug of ours.
        found = f"a network that cannot be built ({type(error).__name__}: {error!s:.200})"
        raise InputError(place, found, _EXPECTED) from error
    system.check_params(place, params, dims)
