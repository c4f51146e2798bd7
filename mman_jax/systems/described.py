"""What is made from settings: every attribute of a class is one, by its name and its type."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Self

from mman_jax.errors import InputError, nearest

_GIVEN = ("modalities", "classes", "parent", "name")


class Described:
    """A dataclass of a corpus's `modalities` and `classes`, and of sizes with defaults."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The settings that `from_settings` takes, as they are when they are left out."""
        return {field.name: _default(field) for field in _settings(cls)}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], classes: int
    ) -> Self:
        """What has these sizes; what is left out has its default.

        Raises:
            InputError: a setting that there is not, or of another type.
        """
        own = [field.name for field in _settings(cls)]
        types = typing.get_type_hints(cls)
        made = {}
        for name, value in settings.items():
            if name not in own:
                raise InputError(f"network.{name}", "unknown", nearest(name, own))
            made[name] = _typed(f"network.{name}", value, types[name])
        return cls(tuple(modalities), classes, **made)


def _settings(kind: Any) -> list[Any]:
    return [f for f in dataclasses.fields(kind) if f.init and f.name not in _GIVEN]


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    # Flax has the mappings that a module holds frozen.
    return dict(field.default) if isinstance(field.default, Mapping) else field.default


def _typed(place: str, value: Any, wanted: Any) -> Any:
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(place, f"a {type(value).__name__}", "several values, (x, y)")
        return tuple(_typed(place, item, parts[0]) for item in value)
    if origin is Mapping:
        if not hasattr(value, "items"):  # a ConfigDict is no Mapping
            raise InputError(place, f"a {type(value).__name__}", "values by name")
        return {name: _typed(f"{place}.{name}", item, parts[1]) for name, item in value.items()}
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted in (int, float, bool, str) and type(value) is not wanted:
        found = f"{value!r:.60}, a {type(value).__name__}"
        raise InputError(place, found, {int: "a whole number", float: "a number"}.get(
            wanted, wanted.__name__
        ))  # fmt: skip
    if wanted is float and not math.isfinite(value):
        raise InputError(place, str(value), "a finite number")
    return value
