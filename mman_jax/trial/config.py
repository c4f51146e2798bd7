"""Configs: the fields that every trial has, and a system's own."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from mman_jax import systems


def base() -> ConfigDict:
    """Returns the fields that every trial has; `mman_jax.trial.fields` describes each."""
    return ConfigDict(
        {
            "system": "",
            "name": "",
            "seeds": 1,
            "first_seed": 0,
            "checkpoint_seconds": 60.0,
            "parallel": "jit",
            "mesh": {"seeds": 0, "rows": 0},
            "distributed": "",
            "data": {
                "path": placeholder(str),
                "protocol": "auto",
                "target": "",
                "classes": 0,
                "split": "",
                "folds": "",
                "fold": "",
                "modalities": "",
                "test": placeholder(str),
                "label_map": placeholder(str),
                "scale": placeholder(str),
                "cells": "utterances",
                "pivot": "",
                "words": 50,
                "stream": placeholder(bool),
            },
            "network": {},
            "train": {
                "batch": 30,
                "max_epochs": 1000,
                "select": "calibrated",
                "smoothing": 0.0,
                "labels": "label",
                "loss": "",
                "class_weights": False,
                "label_smoothing": 0.0,
                "average": 0.0,
                "refit": False,
            },
        }
    )


def of(system: str, recipe: str = "") -> ConfigDict:
    """Returns the config of a system with its own sizes and settings of training.

    Args:
        system: a name of `mman_jax.systems.SYSTEMS`, or `module:Class`.
        recipe: one of the system's own, if it has several; it is the config's name.

    Raises:
        InputError: no such system.
    """
    kind, named = systems.use(system), [recipe] if recipe else []
    config = base()
    config.system, config.name = system, recipe
    config.network = ConfigDict(kind.defaults(*named))
    _update(config.train, kind.recipe(*named))
    return config


def derive(other: ConfigDict, system: str) -> ConfigDict:
    """Returns a system's config on the data, seeds and devices of another config.

    Settings of training that the system's recipe leaves open are those of the other config.

    Args:
        other: the config of any system.
        system: as of `of`.

    Raises:
        InputError: no such system.
    """
    config, recipe = of(system), systems.use(system).recipe()
    for name in set(config) - {"system", "name", "network", "train"}:
        config[name] = other[name]
    shared = {name: other.train[name] for name in base().train if name not in recipe}
    _update(config.train, shared)
    return config


def title(config: ConfigDict) -> str:
    """Returns the name of a trial in results and reports: its own, or that of its system."""
    return config.name or config.system


def network(config: ConfigDict) -> dict[str, Any]:
    """Returns the settings that `mman_jax.systems.build` takes."""
    return {"system": config.system} | config.network.to_dict()


def changes(before: ConfigDict, now: ConfigDict) -> dict[str, Any]:
    """Returns the fields of a config that differ from another one, by path; new groups whole."""
    return dict(_changes(before, now))


def change(config: ConfigDict, fields: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy with other values; fields in groups that the config lacks are left out.

    An entry that has no group yet begins as that of `default`, if there is one.

    Args:
        config: of any system.
        fields: values by path, such as `train.batch`; a mapping is a group of fields. A number
            for several layers is that of each.
    """
    config = config.copy_and_resolve_references().unlock()
    for path, value in fields.items():
        *groups, last = path.split(".")
        group = config
        for part in groups:
            if isinstance(group, ConfigDict) and part not in group and "default" in group:
                group[part] = group.default.copy_and_resolve_references()
            group = group.get(part) if isinstance(group, ConfigDict) else None
        if not isinstance(group, ConfigDict):
            continue
        if isinstance(group.get(last), tuple) and isinstance(value, int):
            value = (value,) * len(group[last])
        group[last] = ConfigDict(value) if isinstance(value, Mapping) else value
    return config


def _changes(before: ConfigDict, now: ConfigDict, place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in now.items():
        if isinstance(value, ConfigDict) and isinstance(before.get(name), ConfigDict):
            yield from _changes(before[name], value, f"{place}{name}.")
        elif isinstance(value, ConfigDict):
            yield f"{place}{name}", value.to_dict()
        elif name not in before or before[name] != value:
            yield f"{place}{name}", value


def _update(config: ConfigDict, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        config[name] = ConfigDict(value) if isinstance(value, Mapping) else value
