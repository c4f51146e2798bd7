"""The contract of systems: a network, the stages that train it, its settings and its citation."""

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from mman_jax.errors import InputError, nearest
from mman_jax.types import Array, Inputs


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is trained together.

    Attributes:
        name: of the settings by which it is trained: optimizer, rates, what trains, epochs.
        method: the system's method that predicts; arguments and results as of `System.__call__`,
            but that features are the outputs of `reads`, if it names a method.
        heads: the answers trained, each with a loss, a best epoch and a patience of its own.
        reads: the method whose outputs, arrays [B, U, ...] by name, are this stage's inputs. Where
            all that it reads is frozen they are computed once; else the whole system runs.
    """

    name: str
    method: str
    heads: tuple[str, ...]
    reads: str = ""


@dataclasses.dataclass(frozen=True)
class Citation:
    """The publication of a system, for tables and pages.

    Attributes:
        title: name of the system.
        about: one line, what is particular to it.
        reference: authors and year.
        published: accuracies in per cent, as they are cited, by protocol: `iemocap` (one number,
            of several classes), `binary4` (happy, sad, neutral, angry, each against the rest),
            and `parameters` in millions.
        cited_as: title in the table that cites it; empty: `title`.
    """

    title: str
    about: str
    reference: str = ""
    published: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    cited_as: str = ""


def one_stage(batch: int, falls_after: int | None = None, **settings: Any) -> dict[str, Any]:
    """Returns a recipe for a system that is trained in one stage, by Adam at a rate of 1e-3.

    Args:
        batch: conversations in a batch.
        falls_after: epochs without a lower validation loss after which the rate falls to a tenth.
        settings: of the stage, in place of or in addition to these.
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


SEVERAL, SUBWORD, FRAMES = "several modalities", "subword frames", "own frames"
"""Members of `System.reads`: two modalities or more; where cells are words, the frames inside a
word, [B, U, F, D] with `present` [B, U, F]; where cells are frames, those of each modality,
[B, 1, F, D] with `present` [B, 1, F]."""

Ranges = Mapping[str, Mapping[str, Any]]
"""Values that a search may try, by the path of a setting in a config, such as `train.batch`: of
numbers `low`, `high` and whether `log`; of anything `choices`, the simplest first. Settings that
share a value have their last names joined by `|`: `network.early.attention.model|key`."""

TRAINING: Ranges = {
    "train.label_smoothing": {"low": 0.0, "high": 0.2},
    "train.class_weights": {"choices": (False, True)},
    "train.average": {"choices": (0.0, 0.9, 0.98, 0.995)},
}
"""Ranges of settings of training that every system has."""


def around(value: float, below: float, above: float) -> dict[str, Any]:
    """Returns a range about a value, searched by its logarithm; whole numbers if the value is one.

    Args:
        value: the default.
        below: the factor of the lowest value.
        above: the factor of the highest.
    """
    low, high = value * below, value * above
    if isinstance(value, int):
        low, high = max(1, round(low)), max(2, round(high))
    return {"low": low, "high": high, "log": True}


_GIVEN = ("modalities", "outputs", "parent", "name")


class Configurable:
    """A dataclass of `modalities` and `outputs` whose other fields are settings, by their types."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """What it needs beyond one vector per cell: `SEVERAL`, `SUBWORD` or `FRAMES`."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the settings of `from_settings` with their default values."""
        return {field.name: _default(field) for field in _settings(cls)}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], outputs: int
    ) -> Self:
        """Makes a system; settings that are left out have their defaults.

        Raises:
            InputError: an unknown setting, a value of another type, or too few modalities.
        """
        if SEVERAL in cls.reads and len(modalities) < 2:
            found = f"{', '.join(modalities)} alone"
            raise InputError("modalities", found, f"two or more for {cls.__name__}")
        names = [field.name for field in _settings(cls)]
        types, values = typing.get_type_hints(cls), {}
        for name, value in settings.items():
            if name not in names:
                raise InputError(f"network.{name}", "unknown", nearest(name, names))
            values[name] = _typed(f"network.{name}", value, types[name])
        return cls(tuple(modalities), outputs, **values)


class System(Configurable, nn.Module):
    """A network that predicts every cell and learns by gradients.

    A subclass is one file: its sizes are typed attributes with defaults, `__call__` is its network.
    Parameters have top-level names; those of one head alone have the head's name, or a name that
    ends in `_` and the head's (see `owner`).

    Attributes:
        modalities: names, in order.
        outputs: C, the number of classes, or of numbers that are predicted.
    """

    modalities: tuple[str, ...]
    outputs: int

    def __init_subclass__(cls, **options: Any) -> None:
        # A static argument of compiled functions; its tables, which have no hash, are compared.
        cls.__hash__ = _hash
        super().__init_subclass__(**options)

    paper: ClassVar[Citation | None] = None
    """Its publication; None: it is no row of a comparison with published systems."""

    causal: ClassVar[bool] = True
    """Whether an answer depends on no later utterance."""

    in_context: ClassVar[bool] = True
    """Whether an answer depends on other utterances of the conversation."""

    streams: ClassVar[bool] = True
    """Whether a conversation's state has one size, however long it lasts."""

    def frame_view(self, modality: str) -> dict[str, int]:
        """Returns how it reads a modality's own frames, if `reads` has them: arguments of
        `mman_jax.data.views.as_is`."""
        raise NotImplementedError

    def example(self, dims: Mapping[str, int], frames: bool = False) -> Inputs:
        """Returns inputs of one cell, all zeros, by which its parameters are initialised.

        Args:
            dims: D of each modality, in order.
            frames: whether the cell holds a frame, rather than one vector.
        """
        shape = (1, 1, 1) if frames else (1, 1)
        features = {m: jnp.zeros((*shape, size)) for m, size in dims.items()}
        return Inputs.unpadded(features, jnp.ones((1, 1), bool))

    @classmethod
    def for_numbers(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the same system whose C heads answer numbers, not classes.

        A system in which one head reads the probabilities of another says how that is then.
        """
        return dict(settings)

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """Returns its settings of training: `batch`, and those of each stage by its name."""
        return one_stage(batch=30, epochs=100, patience=10)

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """Returns what a search tries; by default rates of learning and dropout, and the batch.

        Args:
            head: whose own settings, which change the loss of no other head; empty: those of all.
        """
        if head:
            return {}
        recipe = cls.recipe()
        stages = {n: x for n, x in recipe.items() if isinstance(x, Mapping)}
        rates = {
            f"train.{name}.learning_rate.default": around(x["learning_rate"]["default"], 0.1, 5)
            for name, x in stages.items()
        }
        dropout = {
            f"network.{name}": {"low": 0.0, "high": 0.7}
            for name, value in cls.defaults().items()
            if name.endswith("dropout") and isinstance(value, float)
        }
        return rates | dropout | {"train.batch": around(recipe["batch"], 0.2, 2)} | TRAINING

    def stages(self) -> tuple[Stage, ...]:
        """What is trained, in order. The last head of the last stage is the system's answer."""
        return (Stage("all", "__call__", ("answer",)),)

    @property
    def head(self) -> str:
        """Whose answer is the system's."""
        return self.stages()[-1].heads[-1]

    def architecture(self) -> dict[str, Any] | None:
        """What the same network in PyTorch is made of, as JSON holds it; None: there is none."""
        return None

    @property
    def attends(self) -> tuple[str, ...]:
        """The modalities between which it sows attention `weights` [B, U, M (query), M (key)] into
        the collection `intermediates`; none by default."""
        return ()

    def losses(
        self, outputs: Mapping[str, Array], inputs: Inputs, labels: Array
    ) -> dict[str, tuple[Array, Array]]:
        """Returns losses in addition to those of the heads, by name: none by default.

        Each is a sum over the rows and its weight, two scalars, so that rows may be spread over
        devices; the step of the optimizer adds the sum over all devices divided by the weight.

        Args:
            outputs: what the stage's method returned in training.
            inputs: its inputs.
            labels: [B, U] int32 or [B, U, C] float32, see `mman_jax.types.Batch`.
        """
        return {}

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], Any]:
        """Predicts every cell.

        Args:
            inputs: a batch without its labels.
            state: before the first cell; None: that of a conversation that begins.
            train: whether dropout acts; it then needs the `dropout` key.

        Returns:
            Logits [B, U, C] float32 of all heads of all stages by name (and in training, whatever
            else `losses` needs); and the state after the last cell, a pytree of arrays [B, ...],
            all zeros where a conversation begins.
        """
        raise NotImplementedError


def _hash(system: System) -> int:
    return hash((type(system), system.modalities, system.outputs))


def owner(group: str, names: Iterable[str]) -> str | None:
    """Whose a top-level name of parameters is: the name itself, or the longest that it ends in.

    Examples:
        Flax calls the parts of a mapping `towers` by `towers_<name>`.

        >>> owner("towers_text", ["speech", "text"]), owner("logits", ["speech", "text"])
        ('text', None)
    """
    fitting = [name for name in names if group == name or group.endswith(f"_{name}")]
    return max(fitting, key=len, default=None)


def sown_weights(kept: Mapping[str, Any]) -> Array:
    """The attention weights [B, U, M, M] that a network sowed."""
    flat = traverse_util.flatten_dict(dict(kept["intermediates"]))
    ((weights,),) = [value for path, value in flat.items() if path[-1] == "weights"]
    return weights


def parameter_shapes(system: System, dims: Mapping[str, int]) -> dict[str, Any]:
    """Returns the shapes and dtypes of a system's parameters, without computing them.

    Args:
        system: of these modalities.
        dims: D of each modality, in order.
    """
    key = jax.random.key(0)
    return dict(jax.eval_shape(lambda: system.init(key, system.example(dims))["params"]))


def check_outputs(system: System, dims: Mapping[str, int]) -> None:
    """Checks that a system's network keeps to the contract of `System.__call__`, by its shapes.

    Args:
        system: of these modalities.
        dims: D of each modality, in order.

    Raises:
        InputError: the network cannot be built, or lacks the logits of a head of its stages.
    """
    name = type(system).__name__

    def build():
        return system.init_with_output(jax.random.key(0), system.example(dims))

    try:
        (logits, _), _ = jax.eval_shape(build)
        heads = [head for stage in system.stages() for head in stage.heads]
    except InputError:
        raise
    except Exception as error:  # whatever a class of the user's raises
        found = f"{name} cannot be built ({type(error).__name__}: {error})"
        raise InputError("system", found, "a network as System.__call__ describes it") from error
    for head in heads:
        shape = getattr(logits.get(head), "shape", None)
        if shape != (1, 1, system.outputs):
            expected = f"logits [B, U, {system.outputs}] of {head!r}"
            raise InputError("system", f"{name} gives {sorted(logits)} of shape {shape}", expected)


def find_pivot(pivot: str, modalities: Sequence[str]) -> str:
    """Returns the modality that a setting names; if it is empty `text`, or else the first one.

    Raises:
        InputError: there is no such modality.
    """
    if pivot and pivot not in modalities:
        raise InputError("network.pivot", f"no modality {pivot!r:.40}", nearest(pivot, modalities))
    return pivot or ("text" if "text" in modalities else modalities[0])


def of_modality(place: str, values: Mapping[str, Any], modality: str) -> Any:
    """A modality's own value by its name, or `default`.

    Raises:
        InputError: there is neither.
    """
    if not {modality, "default"} & set(values):
        raise InputError(place, f"none for {modality!r:.40}", "one by its name, or `default`")
    return values.get(modality, values.get("default"))


def check_rate(place: str, rate: Any, below_one: bool = False) -> None:
    """Refuses what is no rate of dropout.

    Raises:
        InputError: it is none.
    """
    good = isinstance(rate, int | float) and 0 <= rate <= 1 and not (below_one and rate == 1)
    if not good:
        raise InputError(place, str(rate), f"a rate from 0 to {'below ' * below_one}1")


def check_size(place: str, size: Any) -> None:
    """Refuses what is no number of units.

    Raises:
        InputError: naming what it is.
    """
    if type(size) is not int or not 1 <= size < 2**31:
        raise InputError(place, f"{size!r:.60}", "a whole number from 1 to 2**31 - 1")


def check_sizes(place: str, sizes: Any) -> None:
    """Refuses what are no numbers of units, one a layer.

    Raises:
        InputError: naming what they are.
    """
    good = isinstance(sizes, list | tuple) and sizes
    if not good or not all(type(size) is int and 1 <= size < 2**31 for size in sizes):
        expected = "whole numbers from 1 to 2**31 - 1, one for each layer: (300,)"
        raise InputError(place, f"{sizes!r:.60}", expected)


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
