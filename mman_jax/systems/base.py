"""Interface of systems: a network, its training stages, its settings and its citation."""

import copy
import dataclasses
import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.errors import InputError
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    FRAMES,
    SPEAKERS,
    TRAINING,
    Configurable,
    Ranges,
    around,
    one_stage,
)
from mman_jax.systems.step import Step, step, step_seeds
from mman_jax.types import Array, Inputs

Outputs = tuple[dict[str, Array], Any]
"""Logits [B, U, C] of heads and other arrays by name, and the state after the last cell."""

Losses = dict[str, tuple[Array, Array]]
"""Losses by name, each a sum over the rows and its weight."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Heads that are trained together.

    Attributes:
        name: name of its training settings: optimizer, rates, trained parameters, epochs.
        method: the system's method that predicts; its arguments and results are those of
            `System.__call__`, except that its features are the outputs of `reads`, if set.
        heads: the trained heads; each has its own loss, best epoch and patience.
        reads: the method whose outputs, arrays [B, U, ...] by name, are this stage's inputs. They
            are computed once if all parameters behind them are frozen; otherwise the whole system
            runs.
    """

    name: str
    method: str
    heads: tuple[str, ...]
    reads: str = ""


class BaseSystem(Configurable):
    """The interface of all systems.

    A system is a network (`System`), or is fitted in one call (`systems.estimator.Estimator`).
    """

    paper: ClassVar[Citation | None] = None
    """The publication; None leaves the system out of comparisons with published systems."""

    needs: ClassVar[tuple[str, str] | None] = None
    """The optional package that the system needs, and the extra that installs it."""

    learns_by: ClassVar[str]
    """How the system learns: by `gradients` or `fitting`."""

    label_kinds: ClassVar[frozenset[str]]
    """The kinds of labels that the system can learn: `classes`, `votes`, `numbers`."""

    cell_kinds: ClassVar[frozenset[str]]
    """The kinds of cells that the system can read; `frames` only if `reads` contains `FRAMES`."""

    stochastic: ClassVar[bool] = True
    """Whether the outcome depends on the seed."""

    compiled: ClassVar[bool] = True
    """Whether JAX compiles its predictions; otherwise they are computed with NumPy."""

    training: ClassVar[dict[str, Any]] = {}
    """The training settings: `batch`, and the settings of each stage by name."""

    @property
    def causal(self) -> bool:
        """Whether predictions depend on no later utterance; a class may declare a constant."""
        return True

    @property
    def in_context(self) -> bool:
        """Whether a prediction depends on other utterances of the conversation."""
        return True

    @property
    def streams(self) -> bool:
        """Whether a conversation's state has a constant size, however long the conversation is."""
        return True

    @property
    def places(self) -> int:
        """P, the number of slots for speakers (the setting `parties`); 0 without speakers."""
        return getattr(self, "parties", 0) if SPEAKERS in self.reads else 0

    @property
    def head(self) -> str:
        """The head that makes the system's predictions."""
        raise NotImplementedError

    def frame_view(self, modality: str) -> dict[str, int]:
        """Returns the arguments of `mman_jax.data.cells.views.as_is` for a modality's frames.

        Only systems whose `reads` contains `FRAMES` implement this.
        """
        raise NotImplementedError

    @property
    def attends(self) -> tuple[str, ...]:
        """The modalities that attend to one another; none by default.

        Their `weights` [B, U, M (query), M (key)] are sown into the collection `intermediates`.
        """
        return ()

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """Returns a new dict of the training settings, by default `training`."""
        return copy.deepcopy(cls.training)

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """Returns the ranges of a hyperparameter search.

        Args:
            head: selects the settings that affect the loss of this head only; if empty, those that
                all heads share.
        """
        return {}

    @classmethod
    def for_numbers(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings adapted to predicting numbers, or raises an InputError.

        Systems in which one head reads the probabilities of another override this.
        """
        cls.check_data("numbers", "utterances")
        return dict(settings)

    @classmethod
    def check_data(cls, labels: str, cells: str) -> None:
        """Raises an InputError if it cannot learn these labels or read these cells."""
        if labels not in cls.label_kinds:
            found = f"{cls.__name__}, which learns {' or '.join(sorted(cls.label_kinds))}"
            raise InputError("network.system", found, f"a system that learns {labels}")
        if cells not in cls.cell_kinds or (cells == "frames" and FRAMES not in cls.reads):
            expected = "utterances, or another system"
            raise InputError("data.cells", f"{cells!r} for {cls.__name__}", expected)

    @classmethod
    def check_installed(cls) -> None:
        """Raises an InputError if the optional package that it needs is not installed."""
        if cls.needs and importlib.util.find_spec(cls.needs[0]) is None:
            expected = f"pip install 'mman_jax[{cls.needs[1]}]'"
            raise InputError(cls.needs[0], "not installed", expected)

    def notices(self) -> list[str]:
        """Returns notices to the user, by default if its attention is to a single modality."""
        if len(self.attends) != 1:
            return []
        return [f"one modality: {type(self).__name__}'s attention is to {self.attends[0]} alone"]

    def check_outputs(self, dims: Mapping[str, int]) -> None:
        """Raises an InputError if the system cannot be built, or lacks the logits of a head."""

    def parameter_shapes(self, dims: Mapping[str, int]) -> dict[str, Any]:
        """Returns the shapes and dtypes of its parameters; empty if they depend on training."""
        return {}

    def check_params(self, place: object, params: Any, dims: Mapping[str, int]) -> None:
        """Raises an InputError unless parameters [S, ...] from a file match this system."""
        raise NotImplementedError

    def predict_seeds(self, params: Any, inputs: Inputs) -> Array:
        """Computes the logits [S, B, U, C] float32 of its head by the parameters [S, ...]."""
        raise NotImplementedError

    def state_shapes(self, params: Any, dims: Mapping[str, int]) -> Any:
        """Returns the shapes [S, 1, ...] of a conversation's state; it has no arrays by default."""
        return {}

    def step_seeds(self, params: Any, inputs: Inputs, states: Any, attention: bool = False) -> Step:
        """Predicts every cell from states [S, B, ...]; see `mman_jax.systems.step.step_seeds`."""
        return Step(self.predict_seeds(params, inputs), states, None)


class System(BaseSystem, nn.Module):
    """A network that predicts every cell and learns by gradients.

    A subclass fits in one file: its sizes are typed attributes with defaults, and `__call__` is its
    network. The top-level name of parameters that belong to a single head is the head's name, or
    ends in `_` and the head's name (see `owner`).

    Attributes:
        modalities: names, in order.
        outputs: C, the number of classes, or of predicted numbers.
    """

    modalities: tuple[str, ...]
    outputs: int

    learns_by: ClassVar[str] = "gradients"
    torch_module: ClassVar[str] = ""
    """A module that needs only PyTorch; its `Network` takes the card of an export. Empty: none."""

    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes", "votes", "numbers"})
    cell_kinds: ClassVar[frozenset[str]] = frozenset({"utterances", "words", "frames"})
    training: ClassVar[dict[str, Any]] = one_stage(batch=30, epochs=100, patience=10)

    def __init_subclass__(cls, **options: Any) -> None:
        # Systems are static arguments of compiled functions, which are hashed, but mappings cannot
        # be.
        cls.__hash__ = _hash  # type: ignore[method-assign, assignment]  # before Flax sets its own
        super().__init_subclass__(**options)

    def example(self, dims: Mapping[str, int]) -> Inputs:
        """Returns inputs of one cell, all zeros, with a vector or one frame of each modality."""
        shape = (1, 1, 1) if getattr(self, "cells", "") == "frames" else (1, 1)
        features = {m: jnp.zeros((*shape, size)) for m, size in dims.items()}
        return Inputs.unpadded(features, jnp.ones((1, 1), bool))

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """See `BaseSystem.search_space`; by default learning rates, dropout, batch and `ranges`."""
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
        """Returns the training stages in order; the last head of the last one is the system's."""
        return (Stage("all", "__call__", ("answer",)),)

    def chosen_params(self, stage: str, losses: np.ndarray) -> dict[str, Any]:
        """Returns initial parameters of a stage that depend on the stage before; none by default.

        Args:
            stage: name of the stage.
            losses: [S, T], validation losses of the stage before, of its T heads.
        """
        return {}

    @property
    def head(self) -> str:
        """The last head of the last stage."""
        return self.stages()[-1].heads[-1]

    def architecture(self) -> dict[str, Any] | None:
        """Returns a description of the system for `torch_module`, as JSON; None if it has none."""
        return None

    def losses(self, outputs: Mapping[str, Array], inputs: Inputs, labels: Array) -> Losses:
        """Returns losses in addition to those of the heads, by name; none by default.

        Each loss is a pair of scalars, the sum over the rows and its weight, so that rows may be
        spread over devices; training adds the sum over all devices divided by the total weight.

        Args:
            outputs: outputs of the stage's method in training.
            inputs: inputs of that method.
            labels: [B, U] int32 or [B, U, C] float32, see `mman_jax.types.Batch`.
        """
        return {}

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Predicts every cell.

        Args:
            inputs: a batch without its labels.
            state: before the first cell; None at the start of conversations.
            train: whether dropout is active, which needs the `dropout` key.

        Returns:
            Logits [B, U, C] float32 of all heads of all stages, by name (in training also the
            other arrays that `losses` needs); and the state after the last cell, a pytree of arrays
            [B, ...] that are all zeros at the start of a conversation.
        """
        raise NotImplementedError

    @nn.nowrap
    def check_outputs(self, dims: Mapping[str, int]) -> None:
        """See `BaseSystem.check_outputs`; only shapes are computed."""
        name = type(self).__name__

        def build():
            return self.init_with_output(jax.random.key(0), self.example(dims))

        try:
            (logits, _), _ = jax.eval_shape(build)
            heads = [head for stage in self.stages() for head in stage.heads]
        except InputError:
            raise
        except Exception as error:  # a user's class may raise anything
            found = f"{name} cannot be built ({type(error).__name__}: {error})"
            expected = "a network as System.__call__ describes it"
            raise InputError("system", found, expected) from error
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
    def check_params(self, place: object, params: Any, dims: Mapping[str, int]) -> None:
        """See `BaseSystem.check_params`."""
        keystr = jax.tree_util.keystr
        shapes = jax.tree.leaves_with_path(self.parameter_shapes(dims))
        expected = {keystr(path): shape for path, shape in shapes}
        arrays = {keystr(path): x for path, x in jax.tree.leaves_with_path(params)}
        for seed in range(count_seeds(place, arrays)):
            subset = {name: array[seed] for name, array in arrays.items()}
            check_arrays(subset, expected, f"{place}: parameter ")

    @nn.nowrap
    def predict_seeds(self, params: Any, inputs: Inputs) -> Array:
        """See `BaseSystem.predict_seeds`; runs one seed after another."""
        return step_seeds(self, params, inputs).logits

    @nn.nowrap
    def state_shapes(self, params: Any, dims: Mapping[str, int]) -> Any:
        """See `BaseSystem.state_shapes`; nothing is computed."""
        state = jax.vmap(lambda of_seed: step(self, of_seed, self.example(dims)).state)
        return jax.eval_shape(state, params)

    @nn.nowrap
    def step_seeds(self, params: Any, inputs: Inputs, states: Any, attention: bool = False) -> Step:
        """See `BaseSystem.step_seeds`."""
        return step_seeds(self, params, inputs, states, attention)


def _hash(system: System) -> int:
    return hash((type(system), system.modalities, system.outputs))


def owner(group: str, names: Iterable[str]) -> str | None:
    """Returns the head that a top-level group of parameters belongs to, or None.

    Args:
        group: a top-level name of parameters.
        names: the candidates; the longest one that equals `group` or follows a `_` at its end wins.

    Examples:
        Flax names the members of a mapping `towers` `towers_<name>`.

        >>> owner("towers_text", ["speech", "text"]), owner("logits", ["speech", "text"])
        ('text', None)
    """
    owners = [name for name in names if group == name or group.endswith(f"_{name}")]
    return max(owners, key=len, default=None)


def count_seeds(place: object, arrays: Mapping[str, Any]) -> int:
    """Returns S, the number of seeds of parameters [S, ...], or raises an InputError."""
    seeds = {np.shape(array)[:1] for array in arrays.values()}
    if len(seeds) != 1 or seeds in ({()}, {(0,)}):
        raise InputError(f"{place}: params", "no common number of seeds", "a trained model")
    ((count,),) = seeds
    return count


def check_arrays(arrays: Mapping[str, Any], expected: Mapping[str, Any], place: str = "") -> None:
    """Raises an InputError that names the first array with a wrong shape or dtype, or not finite.

    Arrays are the parameters of one seed by name, and `expected` has a `jax.ShapeDtypeStruct` of
    each; `place` precedes the name in messages.
    """
    for name in sorted(expected.keys() | arrays.keys()):
        where = f"{place}{name}"
        if name not in arrays or name not in expected:
            found = "missing" if name in expected else "unknown"
            raise InputError(where, found, "a trained model")
        array, wanted = np.asarray(arrays[name]), expected[name]
        if array.shape != wanted.shape or array.dtype != wanted.dtype:
            found = f"{array.dtype} of shape {array.shape}"
            raise InputError(where, found, f"{wanted.dtype} of shape {wanted.shape}")
        if not np.isfinite(array).all():
            raise InputError(where, "not finite", "a trained model")
