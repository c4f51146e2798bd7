"""Settings of systems: typed fields with defaults, training recipes and search ranges."""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from mman_jax.errors import InputError, nearest

SEVERAL, SUBWORD, FRAMES = "several modalities", "subword frames", "own frames"
SPEAKERS, PAIR = "speakers", "two modalities"
"""Members of `Configurable.reads`.

- `SEVERAL`: two modalities or more.
- `SUBWORD`: if cells are words, the frames within a word, [B, U, F, D] with `present` [B, U, F].
- `FRAMES`: if cells are frames, the frames of each modality, [B, 1, F, D] with `present` [B, 1, F].
- `PAIR`: exactly two modalities.
- `SPEAKERS`: the slots of speakers, `Inputs.speakers`; the setting `parties` is their number.
"""

Ranges = dict[str, dict[str, Any]]
"""Ranges of a hyperparameter search, by the path of a setting in a config, such as `train.batch`.

A numeric range has `low`, `high` and optionally `log`; any other range has `choices`, the simplest
first. Settings that share a value have their last names joined by `|`:
`network.early.attention.model|key`.
"""

SHARED: dict[str, Any] = {
    "batch": 30,  # conversations
    "max_epochs": 1000,  # caps every stage
    "select": "calibrated",  # criterion of the best epoch: loss, calibrated, accuracy, recall, last
    "smoothing": 0.0,  # weight of earlier epochs in the running mean of this criterion
    "labels": "label",  # targets of classes: label or votes
    "loss": "",  # loss of numbers: l1, mse or ccc; empty: l1
    "class_weights": False,
    "label_smoothing": 0.0,
    "focal": 0.0,  # exponent of the focal loss of classes; 0: cross-entropy
    "average": 0.0,  # decay of the moving average of parameters that is evaluated; 0: no average
    "average_warmup": False,  # whether this decay grows with the steps, to forget early ones
    "refit": False,  # whether to retrain on training and validation together
}
"""Training settings of every system, with their default values."""

TRAINING: Ranges = {
    "train.label_smoothing": {"low": 0.0, "high": 0.2},
    "train.class_weights": {"choices": (False, True)},
    "train.average": {"choices": (0.0, 0.9, 0.98, 0.995)},
}
"""Search ranges of some of these settings."""

Check = Callable[[str, Any], None]
"""A check in an `Annotated` type; raises an InputError at a place if a value is invalid."""

_NOT_SETTINGS = ("modalities", "outputs", "parent", "name")
_LARGEST = 2**31 - 1


def check_rate(place: str, rate: Any, below_one: bool = False) -> None:
    """Raises an InputError unless a value is a dropout rate, from 0 to 1."""
    is_number = isinstance(rate, int | float)
    if not is_number or not 0 <= rate <= 1 or (below_one and rate == 1):
        raise InputError(place, str(rate), f"a rate from 0 to {'below ' * below_one}1")


def check_size(place: str, size: Any) -> None:
    """Raises an InputError unless a value is a number of units."""
    if type(size) is not int or not 1 <= size <= _LARGEST:
        raise InputError(place, f"{size!r:.60}", "a whole number from 1 to 2**31 - 1")


def check_sizes(place: str, sizes: Any) -> None:
    """Raises an InputError unless a value lists numbers of units, one for each layer."""
    listed = isinstance(sizes, list | tuple) and sizes
    if not listed or not all(type(size) is int and 1 <= size <= _LARGEST for size in sizes):
        expected = "whole numbers from 1 to 2**31 - 1, one for each layer: (300,)"
        raise InputError(place, f"{sizes!r:.60}", expected)


def one_of(*names: str) -> Check:
    """Returns the check that a value is one of some names."""

    def check(place: str, name: Any) -> None:
        if name not in names:
            raise InputError(place, repr(name), nearest(str(name), names))

    return check


Size = Annotated[int, check_size]
"""The type of a setting that is a number of units, layers or heads."""

Sizes = Annotated[tuple[int, ...], check_sizes]
"""The type of a setting that lists numbers of units, one for each layer."""

Rate = Annotated[float, check_rate]
"""The type of a setting that is a dropout rate."""

RateBelowOne = Annotated[float, functools.partial(check_rate, below_one=True)]
"""The type of a setting that is a dropout rate below 1."""


def around(value: float, below: float, above: float) -> dict[str, Any]:
    """Returns a logarithmic range, from `below` times a value to `above` times it.

    Its limits are integers if the value is.
    """
    low, high = value * below, value * above
    if isinstance(value, int):
        low, high = max(1, round(low)), max(2, round(high))
    return {"low": low, "high": high, "log": True}


def one_stage(batch: int, falls_after: int | None = None, **settings: Any) -> dict[str, Any]:
    """Returns a recipe with one stage, trained by Adam at a learning rate of 1e-3.

    Args:
        batch: conversations in a batch.
        falls_after: epochs without a lower validation loss before the learning rate is divided by
            10; None keeps it constant.
        settings: settings of the stage that override or extend these.
    """
    stage = {
        "rules": ((".*", True),),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-3},
        "weight_decay": 0.0,
        "clip": 1e9,  # none
    }
    falls = {"plateau": {"patience": falls_after, "factor": 0.1}} if falls_after else {}
    return {"batch": batch, "all": stage | settings | falls}


class Configurable:
    """A dataclass with `modalities` and `outputs` whose other fields are typed settings."""

    modalities: tuple[str, ...]
    outputs: int

    reads: ClassVar[frozenset[str]] = frozenset()
    """Required inputs other than one vector per cell, from the constants above."""

    ranges: ClassVar[Ranges] = {}
    """Search ranges of further settings, in addition to the defaults of `search_space`."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the settings of `from_settings` with their default values."""
        dataclass: Any = cls
        fields = [field for field in dataclasses.fields(dataclass) if field.init]
        return {x.name: _default(x) for x in fields if x.name not in _NOT_SETTINGS}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], outputs: int
    ) -> Self:
        """Builds a system; omitted settings have their defaults.

        Raises:
            InputError: a setting is unknown, has the wrong type, is out of range or lacks a value
                for a modality; or there are too few or too many modalities.
        """
        if SEVERAL in cls.reads and len(modalities) < 2:
            found = f"{', '.join(modalities)} alone"
            raise InputError("modalities", found, f"two or more for {cls.__name__}")
        if PAIR in cls.reads and len(modalities) != 2:
            expected = f"two for {cls.__name__}, such as data.modalities=speech,text"
            raise InputError("modalities", ", ".join(modalities), expected)
        defaults, types = cls.defaults(), typing.get_type_hints(cls, include_extras=True)
        values = {}
        pivot = find_pivot(settings.get("pivot", ""), modalities) if "pivot" in defaults else None
        for name, value in settings.items():
            if name not in defaults:
                raise InputError(f"network.{name}", "unknown", nearest(name, defaults))
            values[name] = _convert(f"network.{name}", value, types[name])
            if isinstance(defaults[name], dict) and "default" in defaults[name]:
                for modality in modalities:
                    if modality != pivot:
                        of_modality(f"network.{name}", values[name], modality)
        make: Any = cls  # the constructor of a dataclass that a subclass declares
        return make(modalities=tuple(modalities), outputs=outputs, **values)


def find_pivot(pivot: str, modalities: Sequence[str]) -> str:
    """Returns the modality that a setting names; if empty, `text`, or the first one without text.

    Raises:
        InputError: the modality is unknown.
    """
    if pivot and pivot not in modalities:
        raise InputError("network.pivot", f"no modality {pivot!r:.40}", nearest(pivot, modalities))
    return pivot or ("text" if "text" in modalities else modalities[0])


def of_modality(place: str, values: Mapping[str, Any], modality: str) -> Any:
    """Returns the value of a modality, or of `default` if the modality has none.

    Raises:
        InputError: neither has a value.
    """
    if not {modality, "default"} & set(values):
        raise InputError(place, f"none for {modality!r:.40}", "one by its name, or `default`")
    return values.get(modality, values.get("default"))


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    # Flax freezes the mappings of a module.
    return dict(field.default) if isinstance(field.default, Mapping) else field.default


def _convert(place: str, value: Any, wanted: Any) -> Any:
    """Converts a value to the wanted type, or raises an InputError."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Annotated:
        value = _convert(place, value, parts[0])
        for check in parts[1:]:
            check(place, value)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(place, f"a {type(value).__name__}", "several values, (x, y)")
        return tuple(_convert(place, item, parts[0]) for item in value)
    if origin is Mapping:
        if not hasattr(value, "items"):  # a ConfigDict is not a Mapping
            raise InputError(place, f"a {type(value).__name__}", "values by name")
        return {name: _convert(f"{place}.{name}", x, parts[1]) for name, x in value.items()}
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted in (int, float, bool, str) and type(value) is not wanted:
        expected = {int: "a whole number", float: "a number"}.get(wanted, wanted.__name__)
        raise InputError(place, f"{value!r:.60}, a {type(value).__name__}", expected)
    if wanted is float and not math.isfinite(value):
        raise InputError(place, str(value), "a finite number")
    return value
