"""Configs: the declared fields of every trial, and the settings of a system.

A field is declared once, with its default value, its description and the values that it may have.
"""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from mman_jax import systems
from mman_jax.errors import InputError, nearest
from mman_jax.training.programs import ANSWERS
from mman_jax.training.state import SELECT
from mman_jax.types import CELLS

_LARGEST = 2**20
"""The largest plausible number of seeds, conversations, epochs or units of a layer."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers that a field may have.

    Attributes:
        expected: description for messages.
        contains: whether a number is one of them; False for NaN.
    """

    expected: str
    contains: Callable[[float], bool]


_COUNT = Range(f"a number from 1 to {_LARGEST}", lambda x: 1 <= x <= _LARGEST)
_POSITIVE = Range("a finite number above 0", lambda x: 0 < x < math.inf)
_NOT_NEGATIVE = Range("a finite number of at least 0", lambda x: 0 <= x < math.inf)
_BELOW_ONE = Range("a number from 0 to below 1", lambda x: 0 <= x < 1)
_BETWEEN = Range("a number between 0 and 1", lambda x: 0 < x < 1)


@dataclasses.dataclass(frozen=True)
class Field:
    """The declaration of a field.

    Attributes:
        about: one line for people.
        default: the value in `base`; a type: None, to be replaced by a value of it.
        allowed: a range, or all values that it may have; None: it is checked where it is used.
    """

    about: str
    default: Any = None
    allowed: Range | tuple[str, ...] | None = None


FIELDS = {
    "system": Field("The system: a name of mman_jax.systems.SYSTEMS, or module:Class.", ""),
    "name": Field("Title in results and reports; empty: the system.", ""),
    "seeds": Field("Number of seeds that are trained side by side.", 1, _COUNT),
    "first_seed": Field("The first seed; the others follow it.", 0, _NOT_NEGATIVE),
    "checkpoint_seconds": Field(
        "Seconds of work that an interruption may lose.", 60.0, _NOT_NEGATIVE
    ),
    "parallel": Field("How seeds and rows are spread over devices: jit, or pmap.", "jit"),
    "mesh.seeds": Field("Devices over which seeds are spread; 0: chosen, seeds first.", 0),
    "mesh.rows": Field("Devices over which the rows of a batch are spread; 0: chosen.", 0),
    "distributed": Field(
        "Processes of one run: none; auto (TPU slice, Slurm); ADDRESS:PORT,COUNT,ID.", ""
    ),
    "data.path": Field(
        "The corpus: a file or folder in any known layout; none: a synthetic corpus.",
        str,
    ),
    "data.protocol": Field(
        "Labels that are scored: auto, mman4, binary4, iemocap4, iemocap6.", "auto"
    ),
    "data.target": Field(
        "Names of the numbers to predict, separated by commas; empty: labels.", ""
    ),
    "data.classes": Field(
        "Classes to cut from the one target: 2, 3, 5 or 7; 0: the number itself.", 0
    ),
    "data.split": Field("Split: the corpus's own, or raven (IEMOCAP's sessions 3-5, 2 and 1).", ""),
    "data.folds": Field(
        "Cross-validation by sessions, speakers or a number of folds; empty: none.", ""
    ),
    "data.fold": Field("Name of the one fold to train; empty: all.", ""),
    "data.modalities": Field(
        "Names of the modalities to use, separated by commas; empty: all.", ""
    ),
    "data.test": Field("Another corpus, whose test part replaces this corpus's.", str),
    "data.label_map": Field(
        "New names of labels, such as joy=happy,contempt= (empty: context only).",
        str,
    ),
    "data.scale": Field("each: scale the other test corpus by its own statistics.", str),
    "data.cells": Field(
        "What a row consists of: utterances, words or frames.", "utterances", CELLS
    ),
    "data.pivot": Field(
        "Modality whose cells are the words; empty: text, or the first modality.", ""
    ),
    "data.words": Field("Words of an utterance that are read, at most: the last ones.", 50, _COUNT),
    "data.stream": Field(
        "Whether rows stay in host memory; none: if half of a device is too small.",
        bool,
    ),
    "network": Field("Settings of the system.", {}),
    "train.batch": Field("Conversations in a batch.", 30, _COUNT),
    "train.max_epochs": Field("Limit on the epochs of every stage.", 1000, _COUNT),
    "train.select": Field(
        "Score that selects the epoch: loss, calibrated, accuracy or recall.", "calibrated", SELECT
    ),
    "train.smoothing": Field("Weight of earlier epochs in that score; 0: none.", 0.0, _BELOW_ONE),
    "train.labels": Field(
        "What classes are learnt from: label, or votes of several raters.", "label"
    ),
    "train.loss": Field("Loss of numbers: l1, mse or ccc; empty: l1.", ""),
    "train.class_weights": Field("Whether rare classes weigh more in the loss.", False),
    "train.label_smoothing": Field("Probability that is spread over all classes.", 0.0, _BELOW_ONE),
    "train.average": Field(
        "Decay of the average of the weights that is evaluated; 0: no average.", 0.0, _BELOW_ONE
    ),
    "train.refit": Field(
        "Whether to train again, on training and validation parts together.", False
    ),
}
"""The fields that every trial has, by path."""

SETTINGS = {
    "network.context": Field(
        "Whether an answer depends on earlier utterances of the conversation."
    ),
    "network.modality_dropout": Field("Rate at which a modality goes missing in training."),
    "early.kind": Field("How modalities are combined: attention or concatenation."),
    "attention.model": Field("Size of each modality's projection before attention."),
    "attention.key": Field("Size of keys and queries."),
    "attention.value": Field("Size of values."),
    "attention.shared": Field("Whether queries share their key and value weights."),
    "attention.skip": Field("Skip connection: add, concatenate or none."),
    "fusion.kind": Field("Late fusion of the towers' predictions: dense or clstm."),
    "hidden": Field("Sizes of the LSTM layers."),
    "dense": Field("Size of the dense layer after them."),
    "dropout": Field("Dropout rate of hidden layers."),
    "input_dropout": Field("Dropout rate of the input features."),
    "rules": Field("Which parameters are trained: (pattern, whether), the first match counts."),
    "optimizer": Field("adamw (decoupled decay), adam (none), adam_l2 (L2 penalty) or adadelta."),
    "learning_rate": Field("Learning rate, `default` or by tower.", allowed=_POSITIVE),
    "weight_decay": Field("Weight decay.", allowed=_NOT_NEGATIVE),
    "clip": Field("Norm to which gradients are clipped.", allowed=_POSITIVE),
    "epochs": Field("Limit on the epochs of this stage.", allowed=_COUNT),
    "patience": Field("Epochs without improvement that end this stage.", allowed=_COUNT),
    "answers": Field(
        "Predictions that the fusion learns from: training, or out_of_fold.", allowed=ANSWERS
    ),
    "b2": Field("Adam's decay of squared gradients.", allowed=_BETWEEN),
    "eps": Field("Adam's constant in the denominator.", allowed=_POSITIVE),
    "plateau.patience": Field(
        "Epochs without a lower validation loss that reduce the learning rate.", allowed=_COUNT
    ),
    "plateau.factor": Field("By how much it is reduced.", allowed=_BETWEEN),
}
"""Settings of stages and networks, by the end of their paths."""


def base() -> ConfigDict:
    """Returns the fields that every trial has, with their default values."""
    values: dict[str, Any] = {}
    for path, field in FIELDS.items():
        group, _, name = path.rpartition(".")
        fields = values.setdefault(group, {}) if group else values
        default = field.default
        fields[name] = placeholder(default) if isinstance(default, type) else default
    return ConfigDict(values)


def describe_field(path: str, system: str) -> str:
    """Returns one line about a field; empty for an unknown field.

    Args:
        path: of the field in a config, such as `train.batch`.
        system: the network's name, as of `mman_jax.systems.use`.
    """
    group, *names = path.split(".")
    field = _declaration(path)
    shared = path in FIELDS or ".".join(path.split(".")[-2:]) in SETTINGS
    attributes = _attributes(system) if group == "network" and not shared else {}
    return attributes.get(names[0] if names else "", field.about if field else "")


def check(config: ConfigDict) -> None:
    """Refuses values outside the declared ranges.

    Raises:
        InputError: naming the field.
    """
    for path, value in leaves(config):
        if path.startswith("network."):
            for size in value if isinstance(value, tuple | list) else (value,):
                if isinstance(size, int) and size > _LARGEST:
                    raise InputError(f"config.{path}", str(size), f"at most {_LARGEST}")
            continue
        field = _declaration(path)
        allowed = field.allowed if field else None
        if isinstance(allowed, Range) and not allowed.contains(value):
            raise InputError(f"config.{path}", str(value), allowed.expected)
        if isinstance(allowed, tuple) and value not in allowed:
            raise InputError(f"config.{path}", repr(value), nearest(value, allowed))
    if config.first_seed + config.seeds > 2**32:
        raise InputError("config.first_seed", str(config.first_seed), "seeds below 2**32")
    if config.data.pivot and config.data.cells != "words":
        found = f"{config.data.pivot!r}, and cells are {config.data.cells}"
        raise InputError("config.data.pivot", found, "config.data.cells=words, too")


def leaves(config: ConfigDict, group: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each field that is no group, by its path."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


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


def copy(config: ConfigDict) -> ConfigDict:
    """Returns an unlocked copy of a config, with its references resolved."""
    return config.copy_and_resolve_references().unlock()


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
    config = copy(config)
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


def _declaration(path: str) -> Field | None:
    """Returns the declaration of a field, of `FIELDS` or by the end of its path."""
    if path in FIELDS:
        return FIELDS[path]
    *groups, last = path.split(".")
    parent = groups[-1] if groups else ""
    name = parent if parent == "learning_rate" else last
    return SETTINGS.get(f"{parent}.{last}", SETTINGS.get(name))


def _attributes(system: str) -> dict[str, str]:
    """Returns descriptions of a system's sizes, from the docstring of its class."""
    section = (inspect.getdoc(systems.use(system)) or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    sentences = {name: " ".join(text.split()) for name, text in entries}
    return {name: text[:1].upper() + text[1:] for name, text in sentences.items()}
