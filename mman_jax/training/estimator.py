"""Fitting of estimators; the counterpart of `Trainer` for systems without gradients."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mman_jax.evaluation.metrics import accuracy, confusion
from mman_jax.systems.estimator import Estimator
from mman_jax.training.objectives import cross_entropy
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.state import Record
from mman_jax.types import Batch

STAGE = "fit"


class Fitted(NamedTuple):
    """Parameters of a fitted estimator: arrays by name, leading axis S."""

    best: dict[str, np.ndarray]


class Fitting:
    """Fits an estimator on one corpus, in one epoch; a task's labels come with each fit.

    Attributes:
        stages: the name of the only stage.
        streamed: False: rows are not read in batches.
        parameters: 0, the number of parameters before fitting.
    """

    stages = (STAGE,)
    streamed = False
    parameters = 0  # none is known before it is fitted

    def __init__(self, system: Estimator, rows: Mapping[str, Batch]):
        """Reads nothing yet.

        Args:
            system: the estimator.
            rows: of `train`, `valid` and `test`, each with one empty row at its end.
        """
        self.system, self._rows = system, dict(rows)

    def heads(self, stage: str) -> tuple[str, ...]:
        """Returns the only head."""
        return (self.system.head,)

    def epochs(self, stage: str) -> int:
        """Returns the number of epochs, one."""
        return 1

    def steps(self, stage: str) -> int:
        """Returns the number of steps of an epoch, one."""
        return 1

    def fit(self, labels: Mapping[str, np.ndarray], seeds: Sequence[int]) -> Snapshot:
        """Fits every seed, and scores it once.

        Args:
            labels: [R + 1, U] int32 of each part; for numbers and votes, [R + 1, U, C] float32.
            seeds: S seeds.
        """
        train = self._rows["train"]
        features = {m: np.asarray(x)[train.mask] for m, x in train.features.items()}
        classes = labels["train"][train.mask]
        fitted = [self.system.fit(features, classes, seed) for seed in seeds]
        params = {name: np.stack([arrays[name] for arrays in fitted]) for name in fitted[0]}
        logits = {"train": self.answer(params, "train"), **self.answers(params)}
        valid, test = (_counts(logits[part], labels[part]) for part in ("valid", "test"))
        shape = (1, len(seeds), 1)  # epochs, seeds, heads
        history = Record(
            train_loss=_losses(logits["train"], labels["train"]).reshape(shape),
            valid_loss=_losses(logits["valid"], labels["valid"]).reshape(shape),
            valid_accuracy=np.float32(accuracy(valid)).reshape(shape),
            test_accuracy=np.float32(accuracy(test)).reshape(shape),
            training=np.ones(shape, bool),
        )
        outcome = Outcome(
            best_epoch=np.ones(shape[1:], np.int32),
            valid=valid,
            test=test,
            oracle=history.test_accuracy[0],
            failed=np.zeros((*shape[1:], 2), np.int32),
            failed_norm=np.zeros(shape[1:], np.float32),
            history=history,
        )
        return Snapshot(STAGE, Fitted(params), history, {STAGE: outcome})

    def answers(self, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes logits [S, R + 1, U, C] on `valid` and `test`; see `Trainer.answers`."""
        return {part: self.answer(params, part) for part in ("valid", "test")}

    @property
    def answered(self) -> int:
        """Number of utterances that `answers` predicts."""
        return sum(int(self._rows[part].mask.sum()) for part in ("valid", "test"))

    def trainable(self, params: Mapping[str, np.ndarray]) -> int:
        """Counts the parameters of one seed, all of which are fitted."""
        return sum(x.size // len(x) for x in params.values())

    def answer(self, params: Mapping[str, np.ndarray], part: str) -> np.ndarray:
        """Computes logits [S, R + 1, U, C] on the rows of a part."""
        rows = self._rows[part]
        return self.system.answers(params, {m: np.asarray(x) for m, x in rows.features.items()})


def _counts(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts predictions by true class [S, 1, C, C] int32."""
    return np.stack([np.asarray(confusion(x, labels))[None] for x in logits])


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Computes the mean cross-entropy [S] float32 in nats."""

    def mean(x: np.ndarray) -> Any:
        total, weight = cross_entropy(x, labels, jnp.ones(x.shape[-1]))
        return total / jnp.maximum(weight, 1e-9)

    return np.float32([mean(x) for x in logits])
