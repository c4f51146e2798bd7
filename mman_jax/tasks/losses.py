"""Losses of classes and of numbers, with the sums from which scores are computed.

T targets.
"""

import dataclasses
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

from mman_jax.tasks import ratings
from mman_jax.tasks.metrics import accuracy, confusion
from mman_jax.tasks.ratings import Target
from mman_jax.tasks.task import Objective
from mman_jax.types import UNSCORED, Array, is_scored

BY_LOSS = ("loss", "calibrated")
"""The selection criteria that use only the loss, and therefore also apply to numbers."""

DEFAULT = "l1"
"""The default loss of numbers."""

_LEAST = 1e-9


def cross_entropy(
    logits: Array, labels: Array, class_weights: Array, smoothing: float = 0.0, focal: float = 0.0
) -> tuple[Array, Array]:
    """Sums the cross-entropy and the weights of the scored utterances.

    The sums, unlike a mean, can be added over the parts of a batch on several devices.

    Args:
        logits: [B, U, C] float32.
        labels: [B, U] int32, `UNSCORED` where context or padding; or [B, U, C] float32, the share
            of each class among several raters, NaN where context or padding.
        class_weights: [C] float32; ones weigh all classes equally.
        smoothing: the share of the target that all classes divide evenly (label smoothing).
        focal: exponent of the focal loss (Lin et al. 2017), which multiplies the logarithm of a
            probability p by (1 - p)^focal.

    Returns:
        Two scalars, float32: the weighted sum in nats, and the sum of the weights.

    Examples:
        Logits of zero give each of two classes one half: ln 2 per utterance. One of the three
        utterances is context and has no weight.

        >>> labels = jnp.array([[0, 1, UNSCORED]])
        >>> total, weight = cross_entropy(jnp.zeros((1, 3, 2)), labels, jnp.ones(2))
        >>> round(float(total / weight), 4), float(weight)
        (0.6931, 2.0)
    """
    chex.assert_rank(logits, 3)
    chex.assert_shape(labels, logits.shape[: labels.ndim])
    chex.assert_shape(class_weights, logits.shape[-1:])
    if labels.ndim == 3:
        return _of_shares(logits, labels, class_weights, smoothing, focal)
    scored = labels != UNSCORED
    classes = jnp.where(scored, labels, 0)
    log_probabilities = _focused(jax.nn.log_softmax(logits), focal)
    picked = jnp.take_along_axis(log_probabilities, classes[..., None], axis=-1)[..., 0]
    if smoothing:
        picked = (1 - smoothing) * picked + smoothing * log_probabilities.mean(-1)
    weights = jnp.where(scored, class_weights[classes], 0.0)
    return -jnp.sum(weights * picked), jnp.sum(weights)


def balanced_weights(labels: Array, classes: int) -> Array:
    """Computes class weights [C] float32: higher for rarer classes, 1 on average.

    Args:
        labels: int32 of any shape, `UNSCORED` where context or padding; or shares [..., C]
            float32, NaN where context or padding.
        classes: C.

    Examples:
        Four labels of one class and one of the other: 5 / (2 * 4) and 5 / (2 * 1).

        >>> balanced_weights(jnp.array([0, 0, 0, 0, 1, UNSCORED]), 2).tolist()
        [0.625, 2.5]
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        counts = jnp.nansum(labels.reshape(-1, classes), axis=0)
    else:
        counts = jnp.stack([jnp.sum(labels == c) for c in range(classes)])
    occurring = jnp.sum(counts > 0)
    # A class without training examples has weight 1: it must not dominate the validation loss.
    divisors = jnp.where(counts > 0, counts, 1)
    weights = jnp.sum(counts) / (jnp.maximum(occurring, 1) * divisors)
    return jnp.where(counts > 0, weights, 1.0).astype(jnp.float32)


def l1(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Sums the absolute errors over the scored values, and counts these.

    Args:
        answers: [B, U, T] float32.
        targets: [B, U, T] float32, NaN where context or padding.
        total: sums over the devices; unused here.

    Examples:
        >>> targets = jnp.array([[[1.0], [jnp.nan]]])
        >>> [float(x) for x in l1(jnp.array([[[3.0], [9.0]]]), targets, lambda x: x)]
        [2.0, 1.0]
    """
    return _errors(answers, targets, jnp.abs)


def mse(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Sums the squared errors over the scored values, and counts these; see `l1`."""
    return _errors(answers, targets, jnp.square)


def ccc(answers: Array, targets: Array, total: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Computes 1 - CCC over a full batch, averaged over the targets: a sum and a weight, see `l1`.

    CCC is Lin's concordance (Lin 1989), 2 cov(x, y) / (var x + var y + (mean x - mean y)^2). A
    target with fewer than two scored utterances in the batch is ignored. With several devices the
    batch spans all of them: `total` adds up its moments, the value is that of the full batch, and
    the gradients of the devices add up to its gradient.
    """
    chex.assert_equal_shape([answers, targets])
    scored = is_scored(targets)
    x, y = (jnp.where(scored, v, 0.0) for v in (answers, targets))
    moments = jnp.stack([v.sum((0, 1)) for v in (scored * 1.0, x, y, x * x, y * y, x * y)])
    gathered = jax.lax.stop_gradient(total(jax.lax.stop_gradient(moments)))
    value, slope = jax.value_and_grad(lambda m: _discord(m).sum())(gathered)
    weight = scored.sum().astype(jnp.float32)
    total_weight = jnp.maximum(total(weight), 1.0)
    local = jnp.sum(slope * (moments - jax.lax.stop_gradient(moments)))
    return weight * value + total_weight * local, weight


NUMBERS = {"l1": l1, "mse": mse, "ccc": ccc}
"""The losses of numbers, by their name in a config."""

_UNITS = {
    "l1": "deviations of the training part",
    "mse": "squared deviations of the training part",
    "ccc": "1 - CCC",
}


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of classes; tallies are counts [C, C] int32, the score is accuracy.

    Attributes:
        classes: C.
        weigh: whether the loss weighs rarer classes of the training part higher.
        smoothing: the share of each target that all classes divide evenly; in training only.
        focal: exponent of the focal loss; in training only.
    """

    classes: int
    weigh: bool = False
    smoothing: float = 0.0
    focal: float = 0.0

    @property
    def unit(self) -> str:
        """The unit of the loss."""
        return "nats"

    def plain(self) -> Objective:
        """Returns the cross-entropy alone."""
        return CrossEntropy(self.classes)

    def reference(self, labels: Array) -> Array:
        """Computes the classes' weights [C] float32 in the loss."""
        if self.weigh:
            return balanced_weights(labels, self.classes)
        return jnp.ones(self.classes)

    def loss(
        self, answers: Array, labels: Array, reference: Array, total: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """Computes `cross_entropy`."""
        return cross_entropy(answers, labels, reference, self.smoothing, self.focal)

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """Counts predictions by true class [C, C] int32."""
        return confusion(answers, labels)

    def nothing(self, heads: int) -> Array:
        """Returns zeros [heads, C, C] int32."""
        return jnp.zeros((heads, self.classes, self.classes), jnp.int32)

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Sums the cross-entropy."""
        pairs = [cross_entropy(answers / t, labels, reference) for t in temperatures]
        return jnp.stack([*(total for total, _ in pairs), pairs[0][1]])

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """Divides sums by weights; in nats."""
        return summed[:, :-1] / jnp.maximum(summed[:, -1:], _LEAST)

    def score(self, tally: Array) -> Array:
        """Computes the accuracy."""
        return accuracy(tally)

    def convert(self, answers: Array, reference: Array, other: Array) -> Array:
        """Returns the logits as they are."""
        return answers


@dataclasses.dataclass(frozen=True)
class NumberLoss:
    """A loss of `NUMBERS`; tallies are `ratings.sums`, the score is mean CCC.

    Heads predict in standard deviations from the mean of training, so that network sizes and
    learning rates do not depend on the units of a target.

    Attributes:
        kind: a key of `NUMBERS`.
        targets: the T targets.
    """

    kind: str
    targets: tuple[Target, ...]

    @property
    def unit(self) -> str:
        """The unit of the loss."""
        return _UNITS[self.kind]

    def plain(self) -> Objective:
        """Returns the loss itself."""
        return self

    def reference(self, labels: Array) -> Array:
        """Computes the training mean and standard deviation [2, T] float32 of each target."""
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
        """Computes the loss in standard deviations of training."""
        mean, deviation = reference
        return NUMBERS[self.kind](answers, (labels - mean) / deviation, total)

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """Computes `ratings.sums` [T, K] float32 in the targets' units."""
        mean, deviation = reference
        return ratings.sums(mean + deviation * answers, labels, mean, self.targets)

    def nothing(self, heads: int) -> Array:
        """Returns zeros [heads, T, K] float32."""
        return jnp.zeros((heads, len(self.targets), ratings.K), jnp.float32)

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Sums the loss at the only temperature; zeros for `ccc`, which is not a sum."""
        if self.kind == "ccc":
            return jnp.zeros(2)
        return jnp.stack(self.loss(answers, labels, reference, lambda x: x))

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """Computes one loss for each head; `ccc` is taken over the full validation part."""
        if self.kind == "ccc":
            return 1 - self.score(tally)[:, None]
        return summed[:, :-1] / jnp.maximum(summed[:, -1:], _LEAST)

    def score(self, tally: Array) -> Array:
        """Computes the mean CCC of the targets."""
        return ratings.agreement(tally)[1].mean(-1)

    def convert(self, answers: Array, reference: Array, other: Array) -> Array:
        """Converts standard deviations of one part to those of another."""
        (mean, spread), (centre, scale) = reference, other
        return (mean + spread * answers - centre) / scale


def _discord(moments: Array) -> Array:
    """Computes each target's share [T] of the mean 1 - CCC.

    Args:
        moments: [6, T] sums of 1, x, y, xx, yy and xy.
    """
    is_defined = moments[0] >= 2
    n = jnp.where(is_defined, moments[0], 1.0)
    x, y, xx, yy, xy = moments[1:] / n
    distance = (xx - x * x) + (yy - y * y) + (x - y) ** 2
    # If answers and targets are all the same number the denominator is 0, which is valid.
    concordance = 2 * (xy - x * y) / jnp.where(distance > 1e-12, distance, 1.0)
    return jnp.where(is_defined, 1 - concordance, 0.0) / jnp.maximum(is_defined.sum(), 1)


def _errors(answers: Array, targets: Array, of: Callable[[Array], Array]) -> tuple[Array, Array]:
    chex.assert_equal_shape([answers, targets])
    scored = is_scored(targets)
    errors = of(jnp.where(scored, answers - jnp.where(scored, targets, 0.0), 0.0))
    return errors.sum(), scored.sum().astype(jnp.float32)


def _focused(log_probabilities: Array, focal: float) -> Array:
    if not focal:
        return log_probabilities
    # Away from 0, where the gradient of a power below 1 is infinite.
    others = jnp.maximum(-jnp.expm1(log_probabilities), 1e-12)
    return others**focal * log_probabilities


def _of_shares(
    logits: Array, shares: Array, class_weights: Array, smoothing: float, focal: float
) -> tuple[Array, Array]:
    scored = is_scored(shares)
    weights = jnp.where(scored, shares, 0.0) * class_weights
    log_probabilities = _focused(jax.nn.log_softmax(logits), focal)
    if smoothing:
        mean = log_probabilities.mean(-1, keepdims=True)
        log_probabilities = (1 - smoothing) * log_probabilities + smoothing * mean
    return -jnp.sum(weights * log_probabilities), jnp.sum(weights)
