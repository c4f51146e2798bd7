"""A small system with random parameters and features, shared by the checks of systems."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import BaseSystem, owner
from mman_jax.training.optimizer import plain
from mman_jax.training.programs import initial
from mman_jax.types import UNSCORED, Array, Inputs

DIMS = {"text": 5, "speech": 4, "visual": 3}
"""Default number of features of each modality."""

# Indices of the conversations in two rows; -1 is padding.
CONVERSATIONS = np.array([[0, 0, 0, 1, 2, 2, -1], [3, 3, 3, 3, 3, 3, 3]])
REAL = CONVERSATIONS >= 0
RESET = np.diff(CONVERSATIONS, axis=1, prepend=-2) != 0
ROWS, CELLS = CONVERSATIONS.shape
LABELS = np.where(REAL, np.arange(CELLS) % 2, UNSCORED).astype(np.int32)
_EPOCHS = 2  # epochs of each stage, so that it can be interrupted after the first


@dataclasses.dataclass(frozen=True)
class Case:
    """A small system with random parameters and features, for a check.

    Attributes:
        system_class: Subclass of `System` or `Estimator`.
        dims: Number of features of each modality, by name and in order.
        outputs: C, the number of classes.
        settings: Settings for `from_settings`; None: the defaults.
        seed: The random seed.
        training: Settings of a `Trainer`; None: Adam at a rate of 1e-3, where each stage trains the
            parameters that belong to its heads (see `mman_jax.systems.base.owner`).
        idle: Patterns of the paths of parameters that no gradient reaches by design, such as
            `decoder/kernel_hidden` in a recurrence that takes a single step.
    """

    system_class: type[BaseSystem]
    dims: Mapping[str, int] = dataclasses.field(default_factory=lambda: DIMS)
    outputs: int = 3
    settings: Mapping[str, Any] | None = None
    seed: int = 0
    training: Mapping[str, Any] | None = None
    idle: Sequence[str] = ()

    @functools.cached_property
    def system(self) -> Any:
        """The system, built from the settings."""
        settings = dict(self.settings or {})
        return self.system_class.from_settings(settings, list(self.dims), self.outputs)

    @property
    def heads(self) -> list[str]:
        """The heads of all stages."""
        return [head for stage in self.system.stages() for head in stage.heads]

    @functools.cached_property
    @in_standard_numbers
    def params(self) -> Any:
        """Parameters of one seed, perturbed so that no bias is zero."""
        random = np.random.default_rng(self.seed)
        start = jax.jit(lambda seed: initial(self.system, tuple(self.dims.items()), seed))
        return jax.tree.map(
            lambda x: x + np.float32(0.2 * random.normal(size=x.shape)),
            jax.device_get(start(self.seed)),  # in NumPy, so that no sum is compiled
        )

    def draw(self, number: int = 0, cells: int = CELLS) -> dict[str, np.ndarray]:
        """Samples features [B, cells, D] of each modality, which depend on `number`."""
        random = np.random.default_rng([self.seed, number])
        sizes = {m: (ROWS, cells, d) for m, d in self.dims.items()}
        return {m: random.normal(size=size).astype(np.float32) for m, size in sizes.items()}

    def present(self, everywhere: bool = False) -> dict[str, np.ndarray]:
        """Returns where each modality is present, [B, U] bool: some cells, or all of them."""
        cells, period = np.arange(CELLS) + np.arange(ROWS)[:, None], len(self.dims) + 1
        present = {m: ((cells + n) % period != 0) | everywhere for n, m in enumerate(self.dims)}
        for values in present.values():
            values[1, 5] = everywhere  # an utterance without any modality
        return present

    @in_standard_numbers
    def predict(
        self,
        features: Mapping[str, Array],
        reset: Array = RESET,
        present: Mapping[str, Array] | None = None,
        state: Any = None,
        seed: int = 0,
        method: str = "__call__",
        mask: Array = REAL,
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Calls a method of the system outside training, and returns its results."""
        inputs = Inputs(features, mask, reset, present or {})
        return jax.tree.map(np.asarray, self.apply(self.params, inputs, state, seed, method=method))

    @in_standard_numbers
    def gradients(
        self, features: Mapping[str, Array], present: Mapping[str, Array], seed: int = 0
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Any, dict[str, np.ndarray]]:
        """Returns the loss and logits in training, and gradients by parameters and features."""
        inputs = Inputs(features, REAL, RESET, present, *self._speakers())
        (loss, logits), by = self._gradients(self.params, features, inputs, seed)
        return jax.tree.map(np.asarray, (loss, logits, *by))

    def _speakers(self) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
        """Returns two speakers who take turns, if the system reads speakers."""
        if not self.system.places:
            return ()
        second = np.pad(RESET, ((0, 0), (1, 0)))[:, :-1]
        return np.broadcast_to(np.arange(CELLS, dtype=np.int32) % 2, RESET.shape), RESET | second

    @in_standard_numbers
    def jacobians(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns derivatives of each head by each modality, [B, U, B, U, D]."""
        weights = np.float32(np.random.default_rng(self.seed).normal(size=self.outputs))

        def weighted(features):
            logits, _ = self.apply(self.params, Inputs(features, REAL, RESET, {}), None, 0)
            return {head: logits[head] @ weights for head in self.heads}

        return jax.tree.map(np.asarray, jax.jit(jax.jacrev(weighted))(self.draw()))

    @functools.cached_property
    def apply(self) -> Any:
        """The compiled `System.apply` of (params, inputs, state, seed)."""

        def apply(params, inputs, state, seed, train=False, method="__call__"):
            variables, rngs = {"params": params}, {"dropout": jax.random.key(seed)}
            return self.system.apply(variables, inputs, state, train, rngs=rngs, method=method)

        return jax.jit(apply, static_argnames=("train", "method"))

    @functools.cached_property
    def _gradients(self) -> Any:
        random = np.random.default_rng(self.seed)
        weights = random.normal(size=(*REAL.shape, self.outputs)) * REAL[..., None]
        weights = weights.astype(np.float32)

        def loss(params, features, inputs, seed):
            inputs = inputs._replace(features=features)
            outputs, _ = self.apply(params, inputs, None, seed, train=True)
            logits = {head: outputs[head] for head in self.heads}
            total = sum(jnp.sum(x * weights) for x in logits.values())
            losses = self.system.losses(outputs, inputs, jnp.asarray(LABELS)).values()
            total += sum(x / jnp.maximum(weight, 1e-9) for x, weight in losses)
            return total, logits

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))

    def require(self, holds: Any, name: str, problem: str) -> None:
        """Raises an AssertionError that names the class and the property if it is violated."""
        if not holds:
            raise AssertionError(f"{self.system_class.__name__}: {name}: {problem}")

    def require_close(self, actual: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal up to rounding."""
        close = jax.tree.map(lambda x, y: np.allclose(x, y, 1e-4, 1e-5), actual, expected)
        self.require(all(jax.tree.leaves(close)), name, problem)

    def require_equal(self, actual: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal bit for bit."""
        same = jax.tree.map(np.array_equal, actual, expected)
        self.require(all(jax.tree.leaves(same)), name, problem)


def training_settings(case: Case) -> dict[str, Any]:
    """Returns settings of a trainer that ends each stage after two epochs."""
    if case.training is not None:
        return plain(case.training) | {"max_epochs": _EPOCHS}
    stages = case.system.stages()
    heads = {head: stage.name for stage in stages for head in stage.heads}
    tops = {top: heads.get(owner(top, heads), stages[0].name) for top in case.params}
    shared = {"optimizer": "adam", "learning_rate": {"default": 1e-3}, "clip": 1e9}
    shared |= {"epochs": _EPOCHS, "patience": _EPOCHS}
    settings = {"batch": 2, "max_epochs": _EPOCHS, "select": "loss", "class_weights": False}
    for stage in stages:
        rules = [(f"{re.escape(top)}(/.*)?", tops[top] == stage.name) for top in tops]
        settings[stage.name] = shared | {"rules": rules}
    return settings
