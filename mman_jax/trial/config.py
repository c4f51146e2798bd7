"""Configs: the declared fields of every trial, and the settings of a system.

A field is declared once, with its default value, its description and its permitted values.
"""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from mman_jax import systems
from mman_jax.data.cells import KINDS
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.tasks import Task, choose
from mman_jax.training.programs import ANSWERS
from mman_jax.training.state import SELECT
from mman_jax.types import CELLS

_LARGEST = 2**20
"""The largest plausible number of seeds, conversations, epochs or units of a layer."""


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of numbers that a field may have.

    Attributes:
        expected: description for messages.
        contains: returns whether a number is in the range; False for NaN.
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
        default: the value in `base`. A type stands for an optional value of this type; None stands
            for a value that the system's recipe sets.
        about: one-line description.
        allowed: a range, or all permitted values; None if the value is checked where it is used.
    """

    default: Any
    about: str
    allowed: Range | tuple[str, ...] | None = None


FIELDS = {
    "system": Field("", "The system: a name of mman_jax.systems.SYSTEMS, or module:Class."),
    "name": Field("", "Title in results and reports; by default the system."),
    "seeds": Field(1, "Number of seeds that are trained in parallel.", _COUNT),
    "first_seed": Field(0, "The first seed; the others follow it.", _NOT_NEGATIVE),
    "checkpoint_seconds": Field(60.0, "Seconds of work that may be lost.", _NOT_NEGATIVE),
    "parallel": Field("jit", "Method of distributing seeds and rows over devices: jit or pmap."),
    "mesh.seeds": Field(0, "Devices over which seeds are spread; 0 chooses a number."),
    "mesh.rows": Field(0, "Devices over which the rows of a batch are spread; 0 chooses a number."),
    "distributed": Field("", "Processes: auto (TPU slice, Slurm) or ADDRESS:PORT,COUNT,ID."),
    "data.path": Field(str, "The corpus, in any known layout; by default a synthetic corpus."),
    "data.protocol": Field("auto", "Scored labels: auto, mman4, binary4, iemocap4, iemocap6."),
    "data.target": Field("", "Numbers to predict, separated by commas; by default labels."),
    "data.classes": Field(0, "Classes into which the target is cut: 2, 3, 5 or 7; 0 for none."),
    "data.split": Field("", "Split: by default the corpus's; raven: IEMOCAP sessions 3-5, 2, 1."),
    "data.folds": Field("", "Cross-validation by sessions, speakers or a number; by default none."),
    "data.fold": Field("", "Name of a single fold to train; by default all."),
    "data.modalities": Field("", "Modalities to use, separated by commas; by default all."),
    "data.test": Field(str, "Another corpus, whose test part replaces this corpus's."),
    "data.label_map": Field(str, "New names of labels: joy=happy,contempt= (empty: context only)."),
    "data.scale": Field(str, "each: scale the other test corpus by its own statistics."),
    "data.scale_by": Field(str, "speaker: scale features by the statistics of each speaker."),
    "data.reduce": Field({}, "Number of principal components of a modality, by its name."),
    "data.cells": Field("utterances", "Elements of a row.", CELLS),
    "data.pivot": Field("", "Modality whose cells are the words; by default text, or the first."),
    "data.words": Field(50, "Limit on the words of an utterance: the last ones are read.", _COUNT),
    "data.stream": Field(bool, "Whether to stream rows from host memory; by default if needed."),
    "network": Field({}, "Settings of the system."),
    "train.batch": Field(30, "Conversations in a batch.", _COUNT),
    "train.max_epochs": Field(1000, "Limit on the epochs of every stage.", _COUNT),
    "train.select": Field("calibrated", "Criterion that selects the best epoch.", SELECT),
    "train.smoothing": Field(0.0, "Weight of past epochs in train.select; 0 for none.", _BELOW_ONE),
    "train.labels": Field("label", "Labels to learn from: label, or votes of several raters."),
    "train.loss": Field("", "Loss of numbers: l1, mse or ccc; by default l1."),
    "train.class_weights": Field(False, "Whether rare classes weigh more in the loss."),
    "train.label_smoothing": Field(0.0, "Probability spread over all classes.", _BELOW_ONE),
    "train.focal": Field(
        0.0, "Exponent of the focal loss of classes; 0: cross-entropy.", _NOT_NEGATIVE
    ),
    "train.average": Field(0.0, "Decay of the average of weights; 0 for none.", _BELOW_ONE),
    "train.average_warmup": Field(False, "Whether the decay at step t is at most (1+t)/(10+t)."),
    "train.refit": Field(False, "Whether to retrain on training and validation parts together."),
}
"""The fields that every trial has, by path."""

_SETTINGS = {
    "network.context": Field(None, "Whether an answer depends on earlier utterances."),
    "network.modality_dropout": Field(None, "Rate at which a modality is missing in training."),
    "early.kind": Field(None, "How modalities are combined: attention or concatenation."),
    "attention.model": Field(None, "Size of each modality's projection before attention."),
    "attention.key": Field(None, "Size of keys and queries."),
    "attention.value": Field(None, "Size of values."),
    "attention.shared": Field(None, "Whether queries share their key and value weights."),
    "attention.skip": Field(None, "Skip connection: add, concatenate or none."),
    "fusion.kind": Field(None, "Late fusion of the towers' predictions: dense, clstm or mean."),
    "fusion.inputs": Field(None, "Inputs of the fusion: probabilities or log_probabilities."),
    "reduce": Field(None, "Number of principal components of this modality.", _COUNT),
    "hidden": Field(None, "Sizes of the LSTM layers."),
    "dense": Field(None, "Size of the dense layer after them."),
    "dropout": Field(None, "Dropout rate of hidden layers."),
    "input_dropout": Field(None, "Dropout rate of the input features."),
    "skip": Field(None, "Whether a linear layer from a tower's features is added to its logits."),
    "rules": Field(None, "Trained parameters: (pattern, trained); the first match counts."),
    "optimizer": Field(None, "adamw (decoupled decay), adam (none), adam_l2 (L2) or adadelta."),
    "learning_rate": Field(None, "Learning rate, `default` or by tower.", _POSITIVE),
    "weight_decay": Field(None, "Weight decay.", _NOT_NEGATIVE),
    "clip": Field(None, "Norm to which gradients are clipped.", _POSITIVE),
    "epochs": Field(None, "Limit on the epochs of this stage.", _COUNT),
    "patience": Field(None, "Epochs without improvement that end this stage.", _COUNT),
    "answers": Field(None, "Predictions that the fusion learns from.", ANSWERS),
    "from_start": Field(None, "Whether the parameters before the first step may be selected."),
    "pull": Field(None, "Penalty on the squared distance from these parameters.", _NOT_NEGATIVE),
    "b2": Field(None, "Adam's decay of squared gradients.", _BETWEEN),
    "eps": Field(None, "Adam's constant in the denominator.", _POSITIVE),
    "plateau.patience": Field(None, "Epochs without a lower loss that reduce the rate.", _COUNT),
    "plateau.factor": Field(None, "Factor by which the rate is reduced.", _BETWEEN),
}
"""Settings of stages and networks, by the last parts of their paths; systems set the defaults."""


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
    """Describes a field in one line; empty for an unknown field.

    Args:
        path: path of the field in a config, such as `train.batch`.
        system: name of the system, see `mman_jax.systems.use`.
    """
    group, *names = path.split(".")
    field = _declaration(path)
    shared = path in FIELDS or ".".join([group, *names][-2:]) in _SETTINGS
    attributes = _attributes(system) if group == "network" and not shared else {}
    if field is None or (names and names[0] in attributes):
        return attributes.get(names[0], "") if names else ""
    choices = f" One of {', '.join(field.allowed)}." if isinstance(field.allowed, tuple) else ""
    return field.about + choices


def check(config: ConfigDict) -> None:
    """Raises an InputError if a value is outside its declared range."""
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
    if config.data.pivot and not KINDS[config.data.cells].has_pivot:
        found = f"{config.data.pivot!r}, and cells are {config.data.cells}"
        kinds = " or ".join(name for name, kind in KINDS.items() if kind.has_pivot)
        raise InputError("config.data.pivot", found, f"config.data.cells={kinds} as well")


def leaves(config: ConfigDict, group: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the path and the value of each field that is not a group."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


def of(system: str, recipe: str = "") -> ConfigDict:
    """Returns the config of a system, with the sizes and training settings of its recipe.

    Args:
        system: a name of `mman_jax.systems.SYSTEMS`, or `module:Class`.
        recipe: name of a recipe, if the system has several; it becomes the config's name.
    """
    kind, recipes = systems.use(system), [recipe] if recipe else []
    config = base()
    config.system, config.name = system, recipe
    config.network = ConfigDict(kind.defaults(*recipes))
    _update(config.train, kind.recipe(*recipes))
    return config


def derive(other: ConfigDict, system: str) -> ConfigDict:
    """Returns a system's config on the data, seeds and devices of another config.

    Training settings that the system's recipe does not set are those of the other config.
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
    """Returns the name of a trial in results and reports: the config's, or the system's."""
    return config.name or config.system


def tasks_of(config: ConfigDict, corpus: Corpus) -> tuple[Task, ...]:
    """Returns the tasks that a config names, on its corpus; see `tasks.choose`."""
    data = config.data
    return choose(corpus, data.protocol, data.target, data.classes, config.train.labels)


def network(config: ConfigDict) -> dict[str, Any]:
    """Returns the settings that `mman_jax.systems.build` takes."""
    return {"system": config.system} | config.network.to_dict()


def changes(before: ConfigDict, now: ConfigDict) -> dict[str, Any]:
    """Returns the fields that differ between two configs, by path; a new group is one entry."""
    changed: dict[str, Any] = {}
    for name, value in now.items():
        if isinstance(value, ConfigDict) and isinstance(before.get(name), ConfigDict):
            inner = changes(before[name], value)
            changed |= {f"{name}.{path}": field for path, field in inner.items()}
        elif isinstance(value, ConfigDict):
            changed[name] = value.to_dict()
        elif name not in before or before[name] != value:
            changed[name] = value
    return changed


def change(config: ConfigDict, fields: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy with other values; fields in groups that the config lacks are left out.

    A missing group starts as a copy of the group `default` next to it, if there is one.

    Args:
        config: the config of any system.
        fields: values by path, such as `train.batch`; a mapping is a group of fields. One number
            for several layers sets each of them.
    """
    config = deepcopy(config).unlock()  # None stays a placeholder of its type
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


def _update(config: ConfigDict, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        config[name] = ConfigDict(value) if isinstance(value, Mapping) else value


def _declaration(path: str) -> Field | None:
    """Returns the declaration of a field, by its path or the last parts of its path."""
    if path in FIELDS:
        return FIELDS[path]
    *groups, last = path.split(".")
    parent = groups[-1] if groups else ""
    name = parent if parent in ("learning_rate", "reduce") else last
    return _SETTINGS.get(f"{parent}.{last}", _SETTINGS.get(name))


def _attributes(system: str) -> dict[str, str]:
    """Returns descriptions of a system's sizes, from the docstrings of its class and its bases."""
    sentences: dict[str, str] = {}
    for kind in reversed(systems.use(system).__mro__):
        section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
        entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
        sentences |= {name: " ".join(text.split()) for name, text in entries}
    return {name: text[:1].upper() + text[1:] for name, text in sentences.items()}
