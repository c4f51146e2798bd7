"""Configs: the fields that every trial has, and a system's own."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from mman_jax import systems


def base() -> ConfigDict:
    """Returns the fields that every trial has; `mman_jax.trial.fields` describes each."""
    return ConfigDict(
        {
            "system": "",
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


def of(system: str) -> ConfigDict:
    """Returns the config of a system with its own sizes and settings of training.

    Args:
        system: a name of `mman_jax.systems.SYSTEMS`, or `module:Class`.

    Raises:
        InputError: no such system.
    """
    kind = systems.use(system)
    config = base()
    config.system = system
    config.network = ConfigDict({"system": system} | kind.defaults())
    _update(config.train, kind.recipe())
    return config


def derive(recipe: ConfigDict, system: str) -> ConfigDict:
    """Returns a system's config on the data, seeds and devices of another config.

    Settings of training that the system's own recipe leaves open are those of the other config.

    Args:
        recipe: the config of any system.
        system: as of `of`.

    Raises:
        InputError: no such system.
    """
    config, own = of(system), systems.use(system).recipe()
    for name in set(config) - {"system", "network", "train"}:
        config[name] = recipe[name]
    shared = {name: recipe.train[name] for name in base().train if name not in own}
    _update(config.train, shared)
    return config


def _update(config: ConfigDict, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        config[name] = ConfigDict(value) if isinstance(value, Mapping) else value
