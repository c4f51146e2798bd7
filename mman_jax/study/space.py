"""What a sweep searches: a table of settings, and where each stands in a recipe."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from mman_jax.errors import InputError, nearest
from mman_jax.systems.mman import EARLY

ATTENTION, EARLY_FUSION = EARLY["attention"], EARLY["concatenation"]
ALL_TOWERS, DENSE, CLSTM = "all towers", "dense fusion", "clstm fusion"
"""What settings belong to, beside a tower by its name: all towers, or a late fusion."""

Values = Mapping[str, Mapping[str, Any]]
"""By what they belong to: values by setting."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting, and the values it may take.

    Attributes:
        name: of the setting.
        kind: `float`, `int` or `choice`.
        low: the least value.
        high: the greatest.
        log: whether values are drawn by their logarithm.
        choices: of a `choice`, the simplest first.
    """

    name: str
    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def near(self, value: Any) -> Any:
        """The permitted value next to this one, of three digits."""
        if self.kind == "choice":
            return min(self.choices, key=lambda choice: abs(choice - value))
        value = min(max(value, self.low), self.high)
        return round(value) if self.kind == "int" else float(f"{value:.3g}")


TOWER = (
    Field("learning_rate", "float", 1e-4, 5e-3, log=True),
    Field("dropout", "float", 0.0, 0.7),
    Field("input_dropout", "float", 0.0, 0.6),
    Field("hidden", "int", 32, 300, log=True),  # of each LSTM layer
    Field("dense", "int", 32, 200, log=True),
)
OF_ATTENTION = (Field("attention", "int", 32, 200, log=True),)  # model, key and value
SHARED = (
    Field("batch", "int", 5, 40, log=True),
    Field("weight_decay", "float", 1e-6, 1e-1, log=True),
    Field("modality_dropout", "float", 0.0, 0.3),
    Field("label_smoothing", "float", 0.0, 0.2),
    Field("class_weights", "choice", choices=(False, True)),
    Field("average", "choice", choices=(0.0, 0.9, 0.98, 0.995)),
)
OF_DENSE = (Field("learning_rate", "float", 1e-3, 3e-2, log=True),)
OF_CLSTM = (
    Field("learning_rate", "float", 1e-4, 5e-3, log=True),
    Field("dropout", "float", 0.0, 0.7),
    Field("hidden", "int", 32, 300, log=True),
    Field("dense", "int", 32, 200, log=True),
)

OF_CLASSES = ("label_smoothing", "class_weights")
"""Settings that mean nothing where numbers are learnt."""

NAMES = tuple(dict.fromkeys(field.name for field in (*SHARED, *TOWER, *OF_ATTENTION)))


def chosen(names: str, numbers: bool = False) -> tuple[str, ...]:
    """The settings that a comma-separated list names; all, where it is empty.

    Args:
        names: the list.
        numbers: whether numbers are learnt, and not classes.

    Raises:
        InputError: a name that is no setting of the table, or is one of classes alone.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    for name in given:
        if name not in NAMES:
            raise InputError("fields", f"unknown {name!r}", nearest(name, NAMES))
        if numbers and name in OF_CLASSES:
            found = f"{name}, a setting of classes, and numbers are learnt"
            raise InputError("fields", found, "other settings, or all")
    return tuple(given) or tuple(n for n in NAMES if not (numbers and n in OF_CLASSES))


def fields(owner: str, names: Iterable[str]) -> tuple[Field, ...]:
    """The settings of a tower (by its name), of all towers or of a fusion, reduced to some names.

    Examples:
        >>> [field.name for field in fields("text", ["dense", "batch", "dropout"])]
        ['dropout', 'dense']
    """
    own = {ALL_TOWERS: SHARED, DENSE: OF_DENSE, CLSTM: OF_CLSTM, ATTENTION: TOWER + OF_ATTENTION}
    return tuple(field for field in own.get(owner, TOWER) if field.name in set(names))


def given(config: ConfigDict, owner: str, searched: Sequence[Field]) -> dict[str, Any]:
    """The values that a recipe has, or the permitted ones next to them."""
    return {field.name: field.near(_get(config, owner, field.name)) for field in searched}


def apply(config: ConfigDict, values: Values) -> ConfigDict:
    """The recipe with these values."""
    config = config.copy_and_resolve_references().unlock()
    for owner, own in values.items():
        for name, value in own.items() if has(config, owner) else ():
            _set(config, owner, name, value)
    return config


def has(config: ConfigDict, owner: str) -> bool:
    """Whether a config has the settings of a tower, of all towers, or of a fusion."""
    network = config.network
    if owner == ALL_TOWERS:
        return True
    if owner in EARLY.values():
        return "early" in network and EARLY.get(network.early.kind) == owner
    if owner in (DENSE, CLSTM):
        return "fusion" in network and f"{network.fusion.kind} fusion" == owner
    wanted = [name for name in config.data.modalities.split(",") if name]
    return "unimodal" in network and (not wanted or owner in wanted)


def block(config: ConfigDict, owner: str) -> ConfigDict:
    """The sizes and rates of a tower, or of the cLSTM that fuses."""
    if owner in EARLY.values():
        return config.network.early
    if owner == CLSTM:
        return config.network.fusion
    own = config.network.unimodal
    return own.get(owner, own.default)


def _get(config: ConfigDict, owner: str, name: str) -> Any:
    if name == "learning_rate":
        rates, own = _rates(config, owner)
        return rates.get(own, rates.default)
    if owner == ALL_TOWERS:
        return _home(config, name)[name]
    own = block(config, owner)
    if name == "attention":
        return own.attention.model
    return own.hidden[0] if name == "hidden" else own[name]


def _set(config: ConfigDict, owner: str, name: str, value: Any) -> None:
    if name == "learning_rate":
        rates, own = _rates(config, owner)
        rates[own] = value
    elif owner == ALL_TOWERS:
        _home(config, name)[name] = value
    else:
        if owner not in (ATTENTION, EARLY_FUSION, CLSTM, *config.network.unimodal):
            config.network.unimodal[owner] = ConfigDict(block(config, owner).to_dict())
        own = block(config, owner)
        if name == "attention":
            own.attention.update(model=value, key=value, value=value)
        else:
            own[name] = (value,) * len(own.hidden) if name == "hidden" else value


def _rates(config: ConfigDict, owner: str) -> tuple[ConfigDict, str]:
    if owner in (DENSE, CLSTM):
        return config.train.fusion.learning_rate, "default"
    return config.train.towers.learning_rate, owner


def _home(config: ConfigDict, name: str) -> ConfigDict:
    """The group of a recipe's settings that holds one of `SHARED`."""
    if name == "modality_dropout":
        return config.network
    return config.train.towers if name == "weight_decay" else config.train
