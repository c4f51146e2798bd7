"""What a system is: a network, and the stages by which it is trained."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.systems.described import Described
from mman_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is trained together.

    Attributes:
        name: of the settings by which it is trained: optimizer, rates, what trains, epochs.
        method: the system's method that gives the answers. It takes the features [B, U, D] a
            modality (or what `reads` gave), `reset`, `state`, `train` and `present` as
            `System.__call__` does, and returns logits [B, U, C] by head, and the state.
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
            of several classes) and `binary4` (happy, sad, neutral, angry, each against the rest).
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


class System(Described, nn.Module):
    """A network that answers every utterance, and learns by gradients.

    A subclass is one file: its sizes are typed attributes with defaults, `__call__` its network.
    Parameters lie under top-level names; those of a head alone lie under the head's name, or a name
    that ends in `_` and it (see `owner`).

    Attributes:
        modalities: names, in order.
        classes: C.
    """

    modalities: tuple[str, ...]
    classes: int

    paper: ClassVar[Citation | None] = None
    """Its publication; None: it is no row of a comparison with published systems."""

    causal: ClassVar[bool] = True
    """Whether an answer depends on no later utterance."""

    in_context: ClassVar[bool] = True
    """Whether an answer depends on other utterances of the conversation."""

    streams: ClassVar[bool] = True
    """Whether a conversation's state has one size, however long it lasts."""

    inside: ClassVar[bool] = False
    """Whether it reads what lies inside a word, [B, U, F, D] with `present` [B, U, F], rather than
    one vector; where cells are words."""

    def as_is(self, modality: str) -> dict[str, int] | None:
        """How it reads a modality's own frames, [B, 1, F, D] with `present` [B, 1, F], where cells
        are frames: arguments of `mman_jax.data.views.as_is`. None: it does not read any."""
        return None

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

    def real_cells(self, reset: Array) -> Array:
        """[B, U] bool, False on padding, for a loss that is sown: as the step that trains tells
        it, in the collection `cells`. Who answers need not know, and then all are real."""
        if self.has_variable("cells", "mask"):
            return self.get_variable("cells", "mask")
        return jnp.ones_like(reset)

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], Any]:
        """Answers every utterance.

        A loss beside those of the heads is sown: `self.sow("losses", name, (sum, weight))`, two
        scalars; a step adds `sum / weight` of each. `real_cells` says what is padding.

        Args:
            features: [B, U, D] float32 a modality, each with its own D.
            reset: [B, U] bool, True where a conversation or padding starts.
            state: before the first utterance; by default that of a conversation that begins.
            train: whether dropout acts; it then needs the `dropout` key.
            present: [B, U] bool of modalities that may be missing, False where one is.

        Returns:
            Logits [B, U, C] float32 of all heads of all stages, and the state after the last
            utterance: a pytree of arrays [B, ...].
        """
        raise NotImplementedError


def owner(group: str, names: Iterable[str]) -> str | None:
    """Whose a top-level name of parameters is: the name itself, or the longest that it ends in.

    Examples:
        Flax calls the parts of a mapping `towers` by `towers_<name>`.

        >>> owner("towers_text", ["speech", "text"]), owner("logits", ["speech", "text"])
        ('text', None)
    """
    fitting = [name for name in names if group == name or group.endswith(f"_{name}")]
    return max(fitting, key=len, default=None)


def sown_losses(kept: Mapping[str, Any]) -> list[tuple[Array, Array]]:
    """The sums and weights that a network sowed into the collection `losses`."""
    flat = traverse_util.flatten_dict(dict(kept.get("losses", {})))
    return [pair for pairs in flat.values() for pair in pairs]


def sown_weights(kept: Mapping[str, Any]) -> Array:
    """The attention weights [B, U, M, M] that a network sowed."""
    flat = traverse_util.flatten_dict(dict(kept["intermediates"]))
    ((weights,),) = [value for path, value in flat.items() if path[-1] == "weights"]
    return weights


def parameter_shapes(system: System, dims: Mapping[str, int]) -> dict[str, Any]:
    """Shapes and dtypes of a system's parameters, computing nothing.

    Args:
        system: of these modalities.
        dims: D of each modality, in order.
    """
    features = {m: jax.ShapeDtypeStruct((1, 1, d), jnp.float32) for m, d in dims.items()}
    reset = jax.ShapeDtypeStruct((1, 1), bool)
    seed = jax.ShapeDtypeStruct((), jnp.uint32)

    def init(seed, *given):
        return system.init(jax.random.key(seed), *given)["params"]

    return dict(jax.eval_shape(init, seed, features, reset))


def check_outputs(system: System, dims: Mapping[str, int]) -> None:
    """Refuses a system whose network does not keep to the contract of `System.__call__`.

    Computes nothing.

    Args:
        system: of these modalities.
        dims: D of each modality, in order.

    Raises:
        InputError: the network cannot be built, or lacks the logits of a head of its stages.
    """
    name = type(system).__name__
    features = {m: jax.ShapeDtypeStruct((2, 3, d), jnp.float32) for m, d in dims.items()}
    reset = jax.ShapeDtypeStruct((2, 3), bool)
    try:
        made = jax.eval_shape(system.init_with_output, jax.random.key(0), features, reset)
        logits, _ = made[0]
        heads = [head for stage in system.stages() for head in stage.heads]
    except InputError:
        raise
    except Exception as error:  # whatever a class of the user's raises
        found = f"{name} cannot be built ({type(error).__name__}: {error})"
        raise InputError("system", found, "a network as System.__call__ describes it") from error
    for head in heads:
        shape = getattr(logits.get(head), "shape", None)
        if shape != (2, 3, system.classes):
            expected = f"logits [B, U, {system.classes}] of {head!r}"
            raise InputError("system", f"{name} gives {sorted(logits)} of shape {shape}", expected)


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
