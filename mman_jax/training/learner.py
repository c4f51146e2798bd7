"""Learners: `Trainer` for networks, and `Fitting` for systems that are fitted in one call."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from mman_jax.systems.base import BaseSystem, System
from mman_jax.systems.estimator import Estimator
from mman_jax.tasks import Task
from mman_jax.tasks.losses import CrossEntropy
from mman_jax.tasks.task import Objective
from mman_jax.training.state import Outcome, Record, Snapshot, State, StopAt
from mman_jax.training.trainer import Report, Trainer
from mman_jax.types import Batch

_STAGE = "fit"


class Fitted(NamedTuple):
    """Parameters of a fitted estimator: arrays by name, with leading axis S."""

    best: dict[str, np.ndarray]


class Fitting:
    """Fits an estimator on one corpus, as one stage of one epoch; the counterpart of `Trainer`.

    Attributes:
        stages: the name of the only stage.
        resumes: whether `run` can resume from a snapshot.
        streamed: whether rows are read in batches.
        parameters: 0, because fitting determines the number of parameters.
    """

    stages: tuple[str, ...] = (_STAGE,)
    resumes = False
    streamed = False
    parameters = 0

    def __init__(
        self, system: Estimator, rows: Mapping[str, Batch], objective: Objective | None = None
    ):
        """Stores the arguments, as `Trainer` does; the default objective is for classes."""
        self.system = system
        self.objective = objective or CrossEntropy(system.outputs)
        self._rows = dict(rows)

    def put(self, rows: Mapping[str, Batch]) -> None:
        """Replaces the rows, for example by another fold's."""
        self._rows = dict(rows)

    def release(self) -> None:
        """Does nothing, because no rows are on the devices."""

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

        Only `labels` and `seeds` are used; the other arguments of `Trainer.run` are ignored.
        """
        objective, train = self.objective, self._rows["train"]
        features = {m: np.asarray(x)[train.mask] for m, x in train.features.items()}
        reference = objective.reference(labels["train"])
        # For numbers, outputs are in standard deviations from the training mean.
        standard = np.asarray(objective.convert(labels["train"], (0.0, 1.0), reference))
        fitted = [self.system.fit(features, standard[train.mask], seed) for seed in seeds]
        params = {name: np.stack([arrays[name] for arrays in fitted]) for name in fitted[0]}
        logits = {part: self.answer(params, part) for part in self._rows}
        tallies, losses, scores = {}, {}, {}
        shape = (1, len(seeds), 1)  # epochs, seeds, heads
        for part, of_seeds in logits.items():
            each = [objective.tally(x, labels[part], reference) for x in of_seeds]
            sums = [objective.summed(x, labels[part], reference, (1.0,)) for x in of_seeds]
            pairs = zip(each, sums, strict=True)
            loss = [objective.valid_losses(x[None], total[None])[0, 0] for x, total in pairs]
            tallies[part] = np.stack([np.asarray(x)[None] for x in each])
            losses[part] = np.asarray(loss, np.float32).reshape(shape)
            score = [objective.score(x) for x in each]
            scores[part] = np.asarray(score, np.float32).reshape(shape)
        history = Record(
            train_loss=losses["train"],
            valid_loss=losses["valid"],
            valid_accuracy=scores["valid"],
            test_accuracy=scores["test"],
            training=np.ones(shape, bool),
            score=-losses["valid"],
        )
        outcome = Outcome(
            best_epoch=np.ones(shape[1:], np.int32),
            valid=tallies["valid"],
            test=tallies["test"],
            oracle=history.test_accuracy[0],
            failed=np.zeros((*shape[1:], 2), np.int32),
            failed_norm=np.zeros(shape[1:], np.float32),
            history=history,
        )
        yield Snapshot(_STAGE, cast(State, Fitted(params)), history, {_STAGE: outcome})

    def answers(self, params: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """Computes logits [S, R + 1, U, C] on `valid` and `test`; see `Trainer.answers`."""
        return {self.system.head: {part: self.answer(params, part) for part in ("valid", "test")}}

    def trainable(self, params: Mapping[str, np.ndarray]) -> int:
        """Counts the parameters of one seed, all of which are fitted."""
        return sum(x.size // len(x) for x in params.values())

    def answer(self, params: Mapping[str, np.ndarray], part: str) -> np.ndarray:
        """Computes logits [S, R + 1, U, C] on the rows of a part."""
        return self.system.predict_seeds(params, self._rows[part].inputs)


Learner = Trainer | Fitting


def make_learner(
    system: BaseSystem,
    settings: Mapping[str, Any],
    rows: Mapping[str, Batch],
    task: Task | None = None,
    **options: Any,
) -> Learner:
    """Returns the learner of a system; the arguments are those of `Trainer`."""
    if system.learns_by == Estimator.learns_by:
        objective = task.objective(settings).plain() if task else None
        return Fitting(cast(Estimator, system), rows, objective)
    return Trainer(cast(System, system), settings, rows, task=task, **options)
