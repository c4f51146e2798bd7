"""An ensemble of trees of support vector machines (Rozgic et al. 2012), the paper's [31].

The implementation follows the abstract, since the text of the paper was unavailable. A tree splits
the classes recursively in two, down to single classes. Each node is a binary machine, trained only
on the utterances of its classes, and the probability of a class is the product of the probabilities
along its path. The ensemble averages over all possible trees of the classes, which share nodes.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.systems.base import check_arrays
from mman_jax.systems.citation import Citation
from mman_jax.systems.estimator import Arrays, Estimator
from mman_jax.types import UNSCORED

_MOST_CLASSES = 8
_FOLDS = 5
_SURE = 30.0  # logit of a node whose training utterances are all on one side
Split = tuple[tuple[int, ...], tuple[int, ...]]


_OF_NODES = ("weights", "offsets", "slopes", "shifts")


@dataclasses.dataclass(frozen=True)
class Rozgic(Estimator):
    """Machines with Gaussian kernels on the concatenated modalities; deterministic.

    Attributes:
        modalities: names, in order.
        outputs: C, at most 8 classes.
        cost: cost of a misclassified utterance.
        gamma: gamma of the kernel `exp(-gamma |x - y|**2)`; 0: 1 / (D * variance of the features).

    Raises:
        InputError: a number is out of range.
    """

    paper = Citation(
        "Rozgic",
        "trees of support vector machines; no context",
        "Rozgic et al. 2012",
        {"iemocap": ("69.4",)},
        selection="no epochs",
    )
    needs = ("sklearn", "svm")

    modalities: tuple[str, ...]
    outputs: int
    cost: float = 1.0
    gamma: float = 0.0

    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 2 <= self.outputs <= _MOST_CLASSES:
            raise InputError("classes", str(self.outputs), f"2 to {_MOST_CLASSES}, for trees")
        if not 0 < self.cost < math.inf:
            raise InputError("network.cost", str(self.cost), "a finite number above 0")
        if not 0 <= self.gamma < math.inf:
            raise InputError("network.gamma", str(self.gamma), "a finite number of at least 0")

    def fit(self, features: Arrays, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Trains every node; see `Estimator.fit`.

        Returns:
            `vectors` [N, D] float32, the training utterances; `weights` [nodes, N] and `offsets`
            [nodes] float32 of the machines; `slopes` and `shifts` [nodes] float32, which convert a
            machine's value to the logit of its first side; and `gamma`, a scalar.

        Raises:
            InputError: scikit-learn is not installed, or no utterance is labelled.
        """
        svm = require("sklearn.svm", "svm", "rozgic", "the package scikit-learn").SVC
        scored = np.asarray(labels) != UNSCORED
        if not scored.any():
            raise InputError("training", "no labelled utterance", "at least one")
        vectors, classes = self.join(features)[scored], np.asarray(labels)[scored]
        variance = float(vectors.var()) or 1.0
        gamma = np.float32(self.gamma or 1 / (vectors.shape[1] * variance))
        # Computed once for all machines, which number thousands with those of the folds.
        kernel = _kernel(vectors, vectors, gamma)
        svc = svm(C=self.cost, kernel="precomputed")
        machines = [_node(svc, kernel, classes, split) for split in nodes(self.outputs)]
        arrays = {
            name: np.stack(values).astype(np.float32)
            for name, values in zip(_OF_NODES, zip(*machines, strict=True), strict=True)
        }
        return {"vectors": vectors, "gamma": gamma, **arrays}

    def logits(self, fitted: Arrays, features: Arrays) -> np.ndarray:
        """Computes log probabilities [N, C] float32 with NumPy only; see `Estimator.logits`."""
        kernel = _kernel(self.join(features), fitted["vectors"], fitted["gamma"])
        values = kernel @ fitted["weights"].T + fitted["offsets"]
        first = _sigmoid(values * fitted["slopes"] + fitted["shifts"])
        return np.log(np.maximum(ensemble(first, self.outputs), 1e-30)).astype(np.float32)

    def check(self, fitted: Arrays, dims: Mapping[str, int]) -> None:
        """See `Estimator.check`."""
        count = len(np.atleast_1d(fitted.get("vectors", 0)))
        machines = len(nodes(self.outputs))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_OF_NODES, (machines,))
        shapes |= {"weights": (machines, count), "gamma": ()}
        shapes["vectors"] = (count, sum(dims[m] for m in self.modalities))
        expected = {name: jax.ShapeDtypeStruct(x, np.float32) for name, x in shapes.items()}
        check_arrays(fitted, expected)


def splits(members: tuple[int, ...]) -> list[Split]:
    """Returns all ways to split classes in two; the first side contains the first class.

    Examples:
        >>> splits((0, 1, 2))
        [((0,), (1, 2)), ((0, 1), (2,)), ((0, 2), (1,))]
    """
    first, *others = members
    ways = []
    for size in range(len(others)):
        for more in itertools.combinations(others, size):
            rest = tuple(c for c in others if c not in more)
            ways.append(((first, *more), rest))
    return ways


def nodes(classes: int) -> list[Split]:
    """Returns all splits of all sets of classes, the smaller sets first."""
    sets = (
        s for size in range(2, classes + 1) for s in itertools.combinations(range(classes), size)
    )
    return [split for members in sets for split in splits(members)]


def trees(classes: int) -> int:
    """Counts the trees of C classes: the product of the odd numbers up to 2 C - 3.

    Examples:
        >>> [trees(c) for c in (1, 2, 3, 4, 5)]
        [1, 1, 3, 15, 105]
    """
    return math.prod(range(1, 2 * classes - 2, 2))


def ensemble(first: np.ndarray, classes: int) -> np.ndarray:
    """Averages the predictions of all trees, without listing the trees.

    The mean for a set of classes is taken over its splits, weighted by their numbers of trees.
    `first` [N, nodes] has each node's probability of its first side, in the order of `nodes`; the
    result is [N, C].
    """
    alone = np.eye(classes, dtype=first.dtype)
    means: dict[tuple[int, ...], np.ndarray] = {
        (c,): np.broadcast_to(alone[c], (len(first), classes)) for c in range(classes)
    }
    for number, (left, right) in enumerate(nodes(classes)):
        members = tuple(sorted(left + right))
        share = trees(len(left)) * trees(len(right)) / trees(len(members))
        p = first[:, number, None]
        mean = share * (p * means[left] + (1 - p) * means[right])
        means[members] = means.get(members, 0) + mean
    return means[tuple(range(classes))]


def _kernel(x: np.ndarray, vectors: np.ndarray, gamma: Any) -> np.ndarray:
    """Computes `exp(-gamma |x - y|**2)` [N, M] of rows x [N, D] and y [M, D]."""
    squares = (x**2).sum(1)[:, None] + (vectors**2).sum(1) - 2 * x @ vectors.T
    return np.exp(-gamma * np.maximum(squares, 0))


def _node(
    machine: Any, kernel: np.ndarray, classes: np.ndarray, split: Split
) -> tuple[np.ndarray, float, float, float]:
    """Fits the machine of a node; returns weights [N], offset, slope and shift.

    It is an SVC with a precomputed kernel, here [N, N] of all training utterances.
    """
    members = np.flatnonzero(np.isin(classes, split[0] + split[1]))
    first = np.isin(classes[members], split[0])
    weights = np.zeros(len(classes))
    if first.all() or not first.any():
        sure = 0.0 if not len(members) else _SURE if first.all() else -_SURE
        return weights, 0.0, 0.0, sure
    kernel = kernel[np.ix_(members, members)]
    machine.fit(kernel, first)
    weights[members[machine.support_]] = machine.dual_coef_[0]
    offset, values = float(machine.intercept_[0]), machine.decision_function(kernel)
    return weights, offset, *_platt(_out_of_fold(machine, kernel, first, values), first)


def _out_of_fold(
    machine: Any, kernel: np.ndarray, first: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Computes out-of-fold values [N]; if a side has a single utterance, returns `values`."""
    folds = min(_FOLDS, int(first.sum()), int((~first).sum()))
    if folds < 2:
        return values
    fold = np.empty(len(first), int)
    for side in (first, ~first):
        fold[side] = np.arange(side.sum()) % folds
    out_of_fold = np.empty(len(first))
    for test in (fold == number for number in range(folds)):
        machine.fit(kernel[np.ix_(~test, ~test)], first[~test])
        out_of_fold[test] = machine.decision_function(kernel[np.ix_(test, ~test)])
    return out_of_fold


def _platt(values: np.ndarray, first: np.ndarray) -> tuple[float, float]:
    """Fits slope and shift of the logit to smoothed targets by maximum likelihood (Platt 1999)."""
    ones, zeros = first.sum(), (~first).sum()
    target = np.where(first, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(line):
        logit = line[0] * values + line[1]
        error = _sigmoid(logit) - target
        return np.sum(np.logaddexp(0, logit) - target * logit), [error @ values, error.sum()]

    start = [1.0, math.log((ones + 1) / (zeros + 1))]
    import scipy.optimize  # slow to import, and few commands need it

    slope, shift = scipy.optimize.minimize(loss, start, jac=True, method="BFGS").x
    return float(slope), float(shift)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5
