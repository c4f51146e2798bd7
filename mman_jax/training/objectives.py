"""What a stage's heads learn: classes, or numbers. Its loss, and the sums that its scores are of.

T targets.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax.numpy as jnp

from mman_jax.errors import InputError, nearest
from mman_jax.evaluation import ratings
from mman_jax.evaluation.metrics import accuracy, confusion
from mman_jax.evaluation.ratings import Target
from mman_jax.training import losses
from mman_jax.training.selection import LOSSES
from mman_jax.types import Array, is_scored

DEFAULT = "l1"
"""The loss of numbers, where none is named."""

_LEAST = 1e-9


class Objective(Protocol):
    """What is learnt."""

    def reference(self, labels: Array) -> Array:
        """What of the training labels [R, U, ...] the loss and the scores depend on."""
        ...

    def loss(
        self, answers: Array, labels: Array, reference: Array, total: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """A head's loss in training as a sum and a weight; `total` adds up over the devices."""
        ...

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """The sums that scores are of, of some utterances."""
        ...

    def nothing(self, heads: int) -> Array:
        """The sums of no utterance, for so many heads."""
        ...

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """The validation loss [heads, temperatures] from the sums, and from what `summed` gave."""
        ...

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Of validation the loss's sum at each temperature, and its weight; [temperatures + 1]."""
        ...

    def score(self, tally: Array) -> Array:
        """The one score [...] that is shown while a run goes on; the higher the better."""
        ...


@dataclasses.dataclass(frozen=True)
class Classes:
    """Cross-entropy; the sums are counts [C, C] int32, the score is the accuracy.

    Attributes:
        classes: C.
        weigh: whether the loss weighs classes by how rare they are in training.
        smoothing: the share of each target that all classes divide evenly; in training alone.
    """

    classes: int
    weigh: bool = False
    smoothing: float = 0.0

    def reference(self, labels: Array) -> Array:
        """The classes' weights [C] float32 in the loss."""
        if self.weigh:
            return losses.balanced_weights(labels, self.classes)
        return jnp.ones(self.classes)

    def loss(
        self, answers: Array, labels: Array, reference: Array, total: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """See `losses.cross_entropy`."""
        return losses.cross_entropy(answers, labels, reference, self.smoothing)

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """Counts [C, C] int32."""
        return confusion(answers, labels)

    def nothing(self, heads: int) -> Array:
        """Zeros [heads, C, C] int32."""
        return jnp.zeros((heads, self.classes, self.classes), jnp.int32)

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Without smoothing."""
        pairs = [losses.cross_entropy(answers / t, labels, reference) for t in temperatures]
        return jnp.stack([*(total for total, _ in pairs), pairs[0][1]])

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """Means in nats."""
        return summed[:, :-1] / jnp.maximum(summed[:, -1:], _LEAST)

    def score(self, tally: Array) -> Array:
        """The accuracy."""
        return accuracy(tally)


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A loss of numbers; the sums are `ratings.sums`, the score is the mean CCC.

    Heads answer in deviations from the mean of training: sizes and rates that suit one target then
    suit another, whatever its units.

    Attributes:
        kind: of `losses.NUMBERS`.
        targets: the T of them.
    """

    kind: str
    targets: tuple[Target, ...]

    def reference(self, labels: Array) -> Array:
        """Mean and deviation [2, T] float32 of each target in training."""
        scored = is_scored(labels).reshape(-1, len(self.targets))
        centre, spread = (
            jnp.array([getattr(t, name) for t in self.targets], jnp.float32)
            for name in ("centre", "spread")
        )
        values = jnp.where(scored, (labels.reshape(scored.shape) - centre) / spread, 0.0)
        count = jnp.maximum(scored.sum(0), 1)
        mean = values.sum(0) / count
        variance = jnp.where(scored, (values - mean) ** 2, 0.0).sum(0) / count
        deviation = jnp.where(variance > 0, jnp.sqrt(variance), 1.0)
        return jnp.stack([centre + spread * mean, spread * deviation]).astype(jnp.float32)

    def loss(
        self, answers: Array, labels: Array, reference: Array, total: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """In deviations of training."""
        mean, deviation = reference
        return losses.NUMBERS[self.kind](answers, (labels - mean) / deviation, total)

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """Sums [T, K] float32, in the targets' own units."""
        mean, deviation = reference
        return ratings.sums(mean + deviation * answers, labels, mean, self.targets)

    def nothing(self, heads: int) -> Array:
        """Zeros [heads, T, K] float32."""
        return jnp.zeros((heads, len(self.targets), ratings.K), jnp.float32)

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Numbers have one temperature; of 1 - CCC, which is of all batches, zeros."""
        if self.kind == "ccc":
            return jnp.zeros(2)
        return jnp.stack(self.loss(answers, labels, reference, lambda x: x))

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """One a head; 1 - CCC is that of the whole validation part."""
        if self.kind == "ccc":
            return 1 - self.score(tally)[:, None]
        return summed[:, :-1] / jnp.maximum(summed[:, -1:], _LEAST)

    def score(self, tally: Array) -> Array:
        """The mean CCC of the targets."""
        return ratings.agreement(tally)[1].mean(-1)


def objective(settings: Mapping[str, Any], classes: int, targets: Sequence[Target]) -> Objective:
    """What is learnt.

    Args:
        settings: `select`, `class_weights`; by choice `label_smoothing` of classes, and `loss` of
            numbers (of `losses.NUMBERS`; empty: `DEFAULT`).
        classes: C.
        targets: the C that are answered, where these are numbers; none: classes are.

    Raises:
        InputError: a loss that there is not; one of numbers for classes; or numbers that are to be
            selected by scores of classes.
    """
    loss = settings.get("loss", "")
    if not targets:
        if loss:
            found = f"{loss!r}, of numbers, and classes are to be learnt"
            raise InputError("train.loss", found, "none: cross-entropy; or a target")
        return Classes(classes, settings["class_weights"], settings.get("label_smoothing", 0.0))
    if settings["select"] not in LOSSES:
        found = f"{settings['select']!r}, of classes, and numbers are to be learnt"
        raise InputError("train.select", found, " or ".join(LOSSES))
    if loss and loss not in losses.NUMBERS:
        raise InputError("train.loss", f"unknown {loss!r}", nearest(loss, losses.NUMBERS))
    return Numbers(loss or DEFAULT, tuple(targets))
