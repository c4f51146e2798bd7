"""The contract of systems: a network, the stages that train it, its settings and its citation."""

import dataclasses
import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.errors import InputError
from mman_jax.systems.settings import FRAMES, TRAINING, Configurable, Ranges, around, one_stage
from mman_jax.systems.step import step_seeds
from mman_jax.types import Array, Inputs


@dataclasses.dataclass(frozen=True)
class Stage:
    """Heads that are trained together.

    Attributes:
        name: of the settings by which it is trained: optimizer, rates, what trains, epochs.
        method: the system's method that predicts; its arguments and results are those of
            `System.__call__`, but the features are the outputs of `reads`, if that names a method.
        heads: the heads trained; each has its own loss, best epoch and patience.
        reads: the method whose outputs, arrays [B, U, ...] by name, are this stage's inputs. Where
            all that it reads is frozen they are computed once; otherwise the whole system runs.
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


class BaseSystem(Configurable):
    """The interface of all systems, whichever way they learn.

    A system is a network (`System`) or learns in one call (`systems.estimator.Estimator`).
    """

    paper: ClassVar[Citation | None] = None
    """Its publication; None: it is no row of a comparison with published systems."""

    needs: ClassVar[tuple[str, str] | None] = None
    """An optional package that it needs, and the extra that installs it."""

    learns_by: ClassVar[str]
    """How it learns: `gradients` or `fitting`."""

    label_kinds: ClassVar[frozenset[str]]
    """The kinds of labels that it learns: `classes`, `votes`, `numbers`."""

    cell_kinds: ClassVar[frozenset[str]]
    """The kinds of cells that it reads; `frames` only if `reads` has `FRAMES`."""

    stochastic: ClassVar[bool] = True
    """Whether another seed gives another outcome."""

    @property
    def causal(self) -> bool:
        """Whether a prediction depends on no later utterance; a class may declare a constant."""
        return True

    @property
    def in_context(self) -> bool:
        """Whether a prediction depends on other utterances of the conversation."""
        return True

    @property
    def streams(self) -> bool:
        """Whether a conversation's state has one size, however long it lasts."""
        return True

    @property
    def head(self) -> str:
        """The head whose predictions are the system's."""
        raise NotImplementedError

    def frame_view(self, modality: str) -> dict[str, int]:
        """Returns how it reads a modality's own frames, if `reads` has them: arguments of
        `mman_jax.data.cells.views.as_is`."""
        raise NotImplementedError

    @property
    def attends(self) -> tuple[str, ...]:
        """The modalities between which it sows attention `weights` [B, U, M (query), M (key)] into
        the collection `intermediates`; none by default."""
        return ()

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """Returns its settings of training: `batch`, and those of each stage by its name."""
        return {}

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """Returns the ranges that a search tries.

        Args:
            head: the head whose own settings, which change the loss of no other head, are wanted;
                empty: those of all heads.
        """
        return {}

    @classmethod
    def for_numbers(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings of the same system for numbers, or raises an InputError.

        A system in which one head reads the probabilities of another overrides this.
        """
        cls.check_data("numbers", "utterances")
        return dict(settings)

    @classmethod
    def check_data(cls, labels: str, cells: str) -> None:
        """Raises an InputError if it cannot learn a kind of labels, or not read a kind of cells."""
        if labels not in cls.label_kinds:
            found = f"{cls.__name__}, which learns {' or '.join(sorted(cls.label_kinds))}"
            raise InputError("network.system", found, f"a system that learns {labels}")
        if cells not in cls.cell_kinds or (cells == "frames" and FRAMES not in cls.reads):
            expected = "utterances, or another system"
            raise InputError("data.cells", f"{cells!r} for {cls.__name__}", expected)

    @classmethod
    def check_installed(cls) -> None:
        """Raises an InputError if an optional package that it needs is not installed."""
        if cls.needs and importlib.util.find_spec(cls.needs[0]) is None:
            expected = f"pip install 'mman_jax[{cls.needs[1]}]'"
            raise InputError(cls.needs[0], "not installed", expected)

    def check_outputs(self, dims: Mapping[str, int]) -> None:
        """Raises an InputError if a user's class cannot be built, or lacks the logits of a head."""

    def parameter_shapes(self, dims: Mapping[str, int]) -> dict[str, Any]:
        """Returns the shapes and dtypes of its parameters; empty if only training determines them.

        Args:
            dims: D of each modality, in order.
        """
        return {}

    def check_params(
        self, place: object, params: Mapping[str, Any], dims: Mapping[str, int]
    ) -> None:
        """Checks that parameters from a file are those of this system; computes nothing.

        Args:
            place: of the file, for messages.
            params: leading axis S.
            dims: D of each modality, in order.

        Raises:
            InputError: naming the first parameter that is missing, unknown, of another shape or
                dtype, or not finite.
        """
        raise NotImplementedError

    def predict_seeds(self, params: Any, inputs: Inputs) -> Array:
        """Computes the logits [S, B, U, C] float32 of its head for every seed.

        Args:
            params: leading axis S.
            inputs: rows of whole conversations.
        """
        raise NotImplementedError


class System(BaseSystem, nn.Module):
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

    learns_by: ClassVar[str] = "gradients"
    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes", "votes", "numbers"})
    cell_kinds: ClassVar[frozenset[str]] = frozenset({"utterances", "words", "frames"})

    def __init_subclass__(cls, **options: Any) -> None:
        # A static argument of compiled functions; its tables, which have no hash, are compared.
        cls.__hash__ = _hash  # type: ignore[method-assign, assignment]  # before Flax sets its own
        super().__init_subclass__(**options)

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
    def recipe(cls) -> dict[str, Any]:
        """See `BaseSystem.recipe`; by default Adam in one stage."""
        return one_stage(batch=30, epochs=100, patience=10)

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """See `BaseSystem.search_space`; by default learning rates, dropout, batch, `ranges`."""
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
        shared = {"train.batch": around(recipe["batch"], 0.2, 2)} | TRAINING
        return rates | dropout | shared | cls.ranges

    def stages(self) -> tuple[Stage, ...]:
        """Returns what is trained, in order; the last head of the last stage is the system's."""
        return (Stage("all", "__call__", ("answer",)),)

    @property
    def head(self) -> str:
        """The last head of the last stage."""
        return self.stages()[-1].heads[-1]

    def architecture(self) -> dict[str, Any] | None:
        """Returns, as JSON holds it, what the same network in PyTorch is made of; None: there is
        no such network."""
        return None

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

    @nn.nowrap
    def check_outputs(self, dims: Mapping[str, int]) -> None:
        """See `BaseSystem.check_outputs`; the network is built, but not computed."""
        name = type(self).__name__

        def build():
            return self.init_with_output(jax.random.key(0), self.example(dims))

        try:
            (logits, _), _ = jax.eval_shape(build)
            heads = [head for stage in self.stages() for head in stage.heads]
        except InputError:
            raise
        except Exception as error:  # whatever a class of the user's raises
            found = f"{name} cannot be built ({type(error).__name__}: {error})"
            raise InputError(
                "system", found, "a network as System.__call__ describes it"
            ) from error
        for head in heads:
            shape = getattr(logits.get(head), "shape", None)
            if shape != (1, 1, self.outputs):
                expected = f"logits [B, U, {self.outputs}] of {head!r}"
                found = f"{name} gives {sorted(logits)} of shape {shape}"
                raise InputError("system", found, expected)

    @nn.nowrap
    def parameter_shapes(self, dims: Mapping[str, int]) -> dict[str, Any]:
        """See `BaseSystem.parameter_shapes`; nothing is computed."""
        key = jax.random.key(0)
        return dict(jax.eval_shape(lambda: self.init(key, self.example(dims))["params"]))

    @nn.nowrap
    def check_params(
        self, place: object, params: Mapping[str, Any], dims: Mapping[str, int]
    ) -> None:
        """See `BaseSystem.check_params`."""
        shapes = jax.tree.leaves_with_path(self.parameter_shapes(dims))
        expected = {jax.tree_util.keystr(path): shape for path, shape in shapes}
        arrays = {jax.tree_util.keystr(path): x for path, x in jax.tree.leaves_with_path(params)}
        count_seeds(place, arrays)
        for name in sorted(expected.keys() | arrays.keys()):
            where = f"{place}: parameter {name}"
            if name not in arrays or name not in expected:
                found = "missing" if name in expected else "unknown"
                raise InputError(where, found, "a trained model")
            array, wanted = arrays[name], expected[name]
            if np.shape(array)[1:] != wanted.shape or array.dtype != wanted.dtype:
                found = f"{array.dtype} of shape {np.shape(array)[1:]}"
                raise InputError(where, found, f"{wanted.dtype} of shape {wanted.shape}")
            if not np.isfinite(array).all():
                raise InputError(where, "not finite", "a trained model")

    @nn.nowrap
    def predict_seeds(self, params: Any, inputs: Inputs) -> Array:
        """See `BaseSystem.predict_seeds`; one seed after the other."""
        return step_seeds(self, params, inputs).logits


def _hash(system: System) -> int:
    return hash((type(system), system.modalities, system.outputs))


def owner(group: str, names: Iterable[str]) -> str | None:
    """Returns the name that a top-level name of parameters is, or the longest that it ends in.

    Examples:
        Flax calls the parts of a mapping `towers` by `towers_<name>`.

        >>> owner("towers_text", ["speech", "text"]), owner("logits", ["speech", "text"])
        ('text', None)
    """
    owners = [name for name in names if group == name or group.endswith(f"_{name}")]
    return max(owners, key=len, default=None)


def count_seeds(place: object, arrays: Mapping[str, Any]) -> int:
    """Returns the number S of seeds of parameters, arrays [S, ...].

    Raises:
        InputError: the arrays have no such number in common.
    """
    seeds = {np.shape(array)[:1] for array in arrays.values()}
    if len(seeds) != 1 or seeds in ({()}, {(0,)}):
        raise InputError(f"{place}: params", "no common number of seeds", "a trained model")
    ((count,),) = seeds
    return count
