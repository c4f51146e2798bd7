"""Learners: `Trainer` for networks, and `Fitting` for systems that are fitted in one call."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

from mman_jax.systems.base import BaseSystem, System
from mman_jax.systems.estimator import Estimator
from mman_jax.tasks.losses import CrossEntropy, cross_entropy
from mman_jax.tasks.metrics import accuracy, confusion
from mman_jax.tasks.task import Objective
from mman_jax.training.outcome import Outcome, Snapshot, StopAt
from mman_jax.training.state import Record, State
from mman_jax.training.trainer import Report, Trainer
from mman_jax.types import Batch

_STAGE = "fit"


class Fitted(NamedTuple):
    """Parameters of a fitted estimator: arrays by name, leading axis S."""

    best: dict[str, np.ndarray]


class Fitting:
    """Fits an estimator on one corpus, in one stage of one epoch; see `Trainer`.

    Attributes:
        stages: the name of the only stage.
        resumes: whether `run` can resume from a snapshot.
        streamed: whether rows are read in batches.
        parameters: 0; fitting determines the number of parameters.
    """

    stages: tuple[str, ...] = (_STAGE,)
    resumes = False
    streamed = False
    parameters = 0

    def __init__(self, system: Estimator, rows: Mapping[str, Batch]):
        """Stores the arguments; reads nothing yet.

        Args:
            system: the estimator.
            rows: rows of `train`, `valid` and `test`, each with one empty row at the end.
        """
        self.system = system
        self.objective: Objective = CrossEntropy(system.outputs)
        self._rows = dict(rows)

    def put(self, rows: Mapping[str, Batch]) -> None:
        """Replaces the rows, for example by another fold's."""
        self._rows = dict(rows)

    def release(self) -> None:
        """Does nothing: no rows are kept on the devices."""

    def heads(self, stage: str) -> tuple[str, ...]:
        """Returns the only head."""
        return (self.system.head,)

    def epochs(self, stage: str) -> int:
        """Returns the number of epochs, one."""
        return 1

    def steps(self, stage: str) -> int:
        """Returns the number of steps of an epoch, one."""
        return 1

    def check(self) -> None:
        """Does nothing: an estimator checks its settings when it is constructed."""

    def run(
        self,
        labels: Mapping[str, np.ndarray],
        seeds: Sequence[int],
        start: Snapshot | None = None,
        stop_at: Mapping[str, StopAt] | None = None,
        groups: np.ndarray | None = None,
        report: Report | None = None,
    ) -> Iterator[Snapshot]:
        """Fits every seed, and yields the only snapshot, with the stage finished.

        Args:
            labels: [R + 1, U] int32 of each part.
            seeds: S seeds.
            start: unused, as are the other arguments of `Trainer.run`.
            stop_at: unused.
            groups: unused.
            report: unused.
        """
        train = self._rows["train"]
        features = {m: np.asarray(x)[train.mask] for m, x in train.features.items()}
        classes = labels["train"][train.mask]
        fitted = [self.system.fit(features, classes, seed) for seed in seeds]
        params = {name: np.stack([arrays[name] for arrays in fitted]) for name in fitted[0]}
        logits = {part: self.answer(params, part) for part in ("train", "valid", "test")}
        valid, test = (  # by true class [S, 1, C, C] int32
            np.stack([np.asarray(confusion(x, labels[part]))[None] for x in logits[part]])
            for part in ("valid", "test")
        )
        shape = (1, len(seeds), 1)  # epochs, seeds, heads
        history = Record(
            train_loss=_losses(logits["train"], labels["train"]).reshape(shape),
            valid_loss=_losses(logits["valid"], labels["valid"]).reshape(shape),
            valid_accuracy=np.asarray(accuracy(valid), np.float32).reshape(shape),
            test_accuracy=np.asarray(accuracy(test), np.float32).reshape(shape),
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
        yield Snapshot(_STAGE, cast(State, Fitted(params)), history, {_STAGE: outcome})

    def answers(self, params: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """Computes logits [S, R + 1, U, C] on `valid` and `test`; see `Trainer.answers`."""
        head = self.system.head
        return {part: {head: self.answer(params, part)} for part in ("valid", "test")}

    def trainable(self, params: Mapping[str, np.ndarray]) -> int:
        """Counts the parameters of one seed, all of which are fitted."""
        return sum(x.size // len(x) for x in params.values())

    def answer(self, params: Mapping[str, np.ndarray], part: str) -> np.ndarray:
        """Computes logits [S, R + 1, U, C] on the rows of a part."""
        return self.system.predict_seeds(params, self._rows[part].inputs)


Learner = Trainer | Fitting


def make_learner(
    system: BaseSystem, settings: Mapping[str, Any], rows: Mapping[str, Batch], **options: Any
) -> Learner:
    """Returns the learner of a system; the arguments are those of `Trainer`."""
    if system.learns_by == Estimator.learns_by:
        return Fitting(cast(Estimator, system), rows)
    return Trainer(cast(System, system), settings, rows, **options)


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Computes the mean cross-entropy [S] float32 in nats."""
    losses = []
    for x in logits:
        total, weight = cross_entropy(x, labels, jnp.ones(x.shape[-1]))
        losses.append(total / jnp.maximum(weight, 1e-9))
    return np.asarray(losses, np.float32)
