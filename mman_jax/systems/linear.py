"""Linear classifiers and regressions of single utterances, a baseline for the networks."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import jax
import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.systems.base import check_arrays
from mman_jax.systems.estimator import Arrays, Estimator
from mman_jax.types import UNSCORED

_NEEDS = ("linear", "the package scikit-learn")
COSTS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Candidate costs of an error; cross-validation on the training part selects one."""

_FOLDS = 3
_MACHINES = 4000
"""Largest number of utterances for support vector machines, whose cost grows quadratically."""

_SLOPES = np.geomspace(0.25, 32, 29)
_NONE = -1


@dataclasses.dataclass(frozen=True)
class Linear(Estimator):
    """Linear support vector machines, logistic regression, or for numbers ridge regression.

    Support vector machines, one for each pair of classes, are used for up to 4000 labelled training
    utterances, and multinomial logistic regression for more. The cost of an error and the slope
    that turns the machines' votes into logits minimise the cross-entropy in cross-validation on the
    training part; the cost of ridge regression minimises the squared error.

    Attributes:
        modalities: names, in order; their features are concatenated.
        outputs: C, the number of classes or numbers.
        cost: cost of an error; 0 selects one of `COSTS`.

    Raises:
        InputError: the cost is negative or not finite.
    """

    needs = ("sklearn", "svm")

    modalities: tuple[str, ...]
    outputs: int
    cost: float = 0.0

    stochastic: ClassVar[bool] = False
    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes", "numbers"})

    def __post_init__(self) -> None:
        """Checks the cost."""
        if not 0 <= self.cost < np.inf:
            raise InputError("network.cost", str(self.cost), "a finite number of at least 0")

    def fit(self, features: Arrays, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Fits every machine; see `Estimator.fit`.

        If there are more features than utterances, the machines are fitted in the space that the
        utterances span, which is faster and gives the same machines.

        Returns:
            `weights` [K, D] and `offsets` [K] float32 of K machines; the `classes` [K, 2] int32
            that each machine separates (in regressions K is C, and the second is -1); and `slope`,
            a float32 scalar that multiplies the logits.

        Raises:
            InputError: scikit-learn is not installed, or fewer than two classes are labelled.
        """
        if np.ndim(labels) > 1:
            return self._fit_numbers(self.join(features).astype(np.float64), labels)
        scored = np.asarray(labels) != UNSCORED
        classes = np.asarray(labels)[scored]
        if len(np.unique(classes)) < 2:
            raise InputError("training", "fewer than two classes with labels", "two or more")
        x = self.join(features)[scored].astype(np.float64)
        reduced, back = _span(x)
        machines = _support_vectors if len(x) <= _MACHINES else _logistic
        folds = list(_inner_folds(classes))
        costs = (self.cost,) if self.cost else COSTS
        out_of_fold = {c: self._out_of_fold(machines, c, reduced, classes, folds) for c in costs}
        losses = {
            (c, s): _cross_entropy(s * logits, classes)
            for c, logits in out_of_fold.items()
            for s in _SLOPES
        }
        cost, slope = min(losses, key=lambda pair: losses[pair])
        weights, offsets, pairs = machines(reduced, classes, cost)
        return {
            "weights": (weights @ back).astype(np.float32),
            "offsets": offsets.astype(np.float32),
            "classes": pairs,
            "slope": np.float32(slope),
        }

    def logits(self, fitted: Arrays, features: Arrays) -> np.ndarray:
        """Computes logits [N, C] float32 with NumPy only; see `Estimator.logits`."""
        values = self.join(features) @ fitted["weights"].T + fitted["offsets"]
        logits = self._combine(values, fitted["classes"])
        return (fitted["slope"] * logits).astype(np.float32)

    def check(self, fitted: Arrays, dims: Mapping[str, int]) -> None:
        """See `Estimator.check`."""
        pairs = np.asarray(fitted.get("classes", np.zeros((0, 2), np.int32)))
        count = len(pairs) if pairs.ndim else 0
        expected = {
            "weights": ((count, sum(dims[m] for m in self.modalities)), np.float32),
            "offsets": ((count,), np.float32),
            "classes": ((count, 2), np.int32),
            "slope": ((), np.float32),
        }
        check_arrays(fitted, {name: jax.ShapeDtypeStruct(*x) for name, x in expected.items()})
        if not count or not (pairs >= _NONE).all() or not (pairs < self.outputs).all():
            raise InputError("classes", "indices out of range", f"0 to {self.outputs - 1}")

    def _fit_numbers(self, x: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Fits ridge regressions of numbers [N, C] to features [N, D]; see `fit`."""
        costs = (self.cost,) if self.cost else COSTS
        fitted = [_ridge(x[known], y[known], costs) for y in numbers.T for known in [~np.isnan(y)]]
        return {
            "weights": np.stack([weights for weights, _ in fitted]).astype(np.float32),
            "offsets": np.array([offset for _, offset in fitted], np.float32),
            "classes": np.array([(c, _NONE) for c in range(len(fitted))], np.int32),
            "slope": np.array(1, np.float32),
        }

    def _out_of_fold(
        self,
        machines: "Machines",
        cost: float,
        x: np.ndarray,
        classes: np.ndarray,
        folds: list[np.ndarray],
    ) -> np.ndarray:
        """Computes out-of-fold logits [N, C] by machines that are fitted to the other folds."""
        logits = np.zeros((len(x), self.outputs))
        for fold in folds:
            weights, offsets, pairs = machines(x[~fold], classes[~fold], cost)
            logits[fold] = self._combine(x[fold] @ weights.T + offsets, pairs)
        return logits

    def _combine(self, values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Computes logits [N, C] from the values [N, K] of machines.

        The machine of a pair of classes votes for one of them; its bounded values break ties.
        """
        logits = np.full((len(values), self.outputs), -np.inf)
        first, second = pairs.T
        if (second == _NONE).all():
            logits[:, first] = values
        else:
            votes, sums = np.zeros((2, *logits.shape))
            for value, i, j in zip(values.T, first, second, strict=True):
                votes[:, i] += value > 0
                votes[:, j] += value <= 0
                sums[:, i] += value
                sums[:, j] -= value
            members = np.unique(pairs)
            logits[:, members] = (votes + sums / (3 * (np.abs(sums) + 1)))[:, members]
        # A class without a training utterance gets the logit of the least likely one.
        known = np.isfinite(logits)
        return np.where(known, logits, np.where(known, logits, np.inf).min(1, keepdims=True))


Machines = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Fits weights, offsets and pairs of classes to features [N, D] and classes [N] at a cost."""


def _span(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns coordinates [N, R] of rows in the space that they span, and its basis [R, D].

    Weights w of the coordinates correspond to weights w @ basis of the features.
    """
    if x.shape[1] <= len(x):
        return x, np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(x @ x.T)
    spanned = values > values[-1] * 1e-10
    vectors, lengths = vectors[:, spanned], np.sqrt(values[spanned])
    return vectors * lengths, (vectors / lengths).T @ x


def _inner_folds(classes: np.ndarray) -> Iterator[np.ndarray]:
    """Yields masks [N] of inner folds, stratified by class and contiguous within a class.

    Adjacent utterances stay together, since those of a conversation resemble one another.
    """
    fold = np.empty(len(classes), int)
    for c in np.unique(classes):
        members = np.flatnonzero(classes == c)
        fold[members] = np.arange(len(members)) * _FOLDS // len(members)
    for number in range(_FOLDS):
        mask = fold == number
        if mask.any() and len(np.unique(classes[~mask])) > 1:
            yield mask


def _support_vectors(
    x: np.ndarray, classes: np.ndarray, cost: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits one machine for each pair of classes."""
    svm = require("sklearn.svm", "svm", *_NEEDS).SVC(kernel="precomputed", C=cost)
    weights, offsets, pairs = [], [], []
    gram = x @ x.T
    for i, j in itertools.combinations(np.unique(classes), 2):
        members = np.flatnonzero((classes == i) | (classes == j))
        svm.fit(gram[np.ix_(members, members)], classes[members] == i)
        weights.append(svm.dual_coef_[0] @ x[members[svm.support_]])
        offsets.append(svm.intercept_[0])
        pairs.append((i, j))
    return np.stack(weights), np.array(offsets), np.array(pairs, np.int32)


def _logistic(
    x: np.ndarray, classes: np.ndarray, cost: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits a multinomial logistic regression."""
    fitted = (
        require("sklearn.linear_model", "svm", *_NEEDS)
        .LogisticRegression(C=cost, max_iter=300)
        .fit(x, classes)
    )
    weights, offsets = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # one row, for the second class
        weights, offsets = np.concatenate([-weights, weights]) / 2, np.append(-offsets, offsets) / 2
    pairs = np.stack([fitted.classes_, np.full(len(fitted.classes_), _NONE)], axis=1)
    return weights, offsets, pairs.astype(np.int32)


def _ridge(x: np.ndarray, y: np.ndarray, costs: Sequence[float]) -> tuple[np.ndarray, float]:
    """Fits a ridge regression of y [N] on x [N, D]; returns its weights [D] and offset."""
    reduced, back = _span(x)

    def solve(x: np.ndarray, y: np.ndarray, cost: float) -> tuple[np.ndarray, float]:
        centre = x.mean(0)
        gram = (x - centre).T @ (x - centre) + np.eye(x.shape[1]) / cost
        weights = np.linalg.solve(gram, (x - centre).T @ (y - y.mean()))
        return weights, float(y.mean() - centre @ weights)

    def error(cost: float) -> float:
        total, fold = 0.0, np.arange(len(y)) * _FOLDS // len(y)
        for number in np.unique(fold) if len(costs) > 1 else ():
            held = fold == number
            weights, offset = solve(reduced[~held], y[~held], cost)
            total += float(((reduced[held] @ weights + offset - y[held]) ** 2).sum())
        return total

    weights, offset = solve(reduced, y, min(costs, key=error))
    return weights @ back, offset


def _cross_entropy(logits: np.ndarray, classes: np.ndarray) -> float:
    from scipy.special import log_softmax  # slow to import, and few commands need it

    return -float(log_softmax(logits, axis=1)[np.arange(len(classes)), classes].mean())
