"""Snapshots of training, outcomes of its stages, and stopping points for retraining."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from mman_jax.training import processes
from mman_jax.training.optimizer import Plateau, reductions
from mman_jax.training.state import Record, State


class Snapshot(NamedTuple):
    """Training after an epoch, with everything that is needed to resume it.

    Attributes:
        stage: name of the stage.
        state: state of the stage, leading axis S.
        history: history of the stage, a `Record` of [E, S, T] arrays for E epochs.
        finished: outcomes of the finished stages, by name.
    """

    stage: str
    state: State
    history: Record
    finished: Mapping[str, "Outcome"]


class Outcome(NamedTuple):
    """Results of a stage with T heads.

    Attributes:
        best_epoch: [S, T] int32.
        valid: [S, T, C, C] int32, validation counts at the best epoch; for numbers, sums
            [S, T, C, K] float32 (see `State`).
        test: the same for the test part.
        oracle: [S, T] float32, the highest test accuracy of any epoch; for numbers, CCC.
        failed: [S, T, 2] int32, epoch and step of the first loss or gradient that was not finite.
        failed_norm: [S, T] float32, the gradient's norm at that step.
        history: `Record` of [E, S, T] arrays.
    """

    best_epoch: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    oracle: np.ndarray
    failed: np.ndarray
    failed_norm: np.ndarray
    history: Record


def stack(history: Sequence[Record]) -> Record:
    """Stacks the records of single epochs along a leading axis E."""
    return jax.tree.map(lambda *x: np.stack(x), *history)


def by_epoch(records: Record) -> list[Record]:
    """Splits a record [S, E, T] into one [S, T] for each epoch."""
    epochs = records.train_loss.shape[1]
    return [jax.tree.map(lambda x, e=epoch: x[:, e], records) for epoch in range(epochs)]


def unstack(history: Record) -> list[Record]:
    """Splits a stacked record into single epochs; the inverse of `stack`."""
    epochs = len(history.train_loss)
    return [jax.tree.map(lambda x, e=epoch: x[e], history) for epoch in range(epochs)]


def outcome(state: State, history: Record) -> Outcome:
    """Collects the results of a stage, gathered on every process."""
    arrays = {name: getattr(state, name) for name in Outcome._fields[:-1]}
    return Outcome(**processes.gather(arrays), history=history)


def converged(finished: Mapping[str, Outcome]) -> np.ndarray:
    """Returns which seeds, [S] bool, have a best epoch in every stage and failed in none."""
    return np.all(
        [(o.best_epoch > 0).all(1) & ~o.failed.any((1, 2)) for o in finished.values()], axis=0
    )


def of_seeds(finished: Mapping[str, Outcome], chosen: np.ndarray) -> dict[str, Outcome]:
    """Selects the results of some seeds ([S] bool) in every stage."""
    subset = {}
    for name, outcome in finished.items():
        arrays = {field: getattr(outcome, field)[chosen] for field in Outcome._fields[:-1]}
        history = jax.tree.map(lambda x: x[:, chosen], outcome.history)
        subset[name] = Outcome(**arrays, history=history)
    return subset


def refitted(
    selected: Mapping[str, Outcome], retrained: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Replaces test counts by those of retrained networks, and adds the failures of retraining.

    Args:
        selected: outcomes of all stages.
        retrained: outcomes of the retrained stages.
    """
    merged = dict(selected)
    for name, new in retrained.items():
        old = selected[name]
        failed = old.failed.any(-1)
        merged[name] = old._replace(
            test=new.test,
            best_epoch=np.where(new.best_epoch > 0, old.best_epoch, 0),
            failed=np.where(failed[..., None], old.failed, new.failed),
            failed_norm=np.where(failed, old.failed_norm, new.failed_norm),
        )
    return merged


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Joins outcomes of heads that were trained separately; shorter histories are zero-padded."""
    epochs = max(len(outcome.history.train_loss) for outcome in outcomes)

    def lengthen(x):
        return np.pad(x, [(0, epochs - len(x)), *[(0, 0)] * (x.ndim - 1)])

    histories = [jax.tree.map(lengthen, outcome.history) for outcome in outcomes]
    history = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *histories)
    scores = {
        field: np.concatenate([getattr(outcome, field) for outcome in outcomes], axis=1)
        for field in Outcome._fields[:-1]
    }
    return Outcome(**scores, history=history)


class StopAt(NamedTuple):
    """Stopping points of a stage, for S seeds, T heads and at most E epochs.

    Attributes:
        epoch: [S, T] int32, the epoch that each head stops at and selects, regardless of its score;
            0: the best epoch on validation.
        reductions: [S, E] int32, the number of times the learning rates are reduced after each
            epoch; -1: decided by the validation loss (see `optimizer.Plateau`).
        valid_loss: [S, T], `selected_loss` of the first run; empty if there was none.
    """

    epoch: np.ndarray
    reductions: np.ndarray
    valid_loss: np.ndarray | tuple = ()


def selected_loss(outcome: Outcome) -> np.ndarray:
    """Returns the validation loss [S, T] of each head at its best epoch."""
    best = outcome.best_epoch[None] - 1
    return np.take_along_axis(outcome.history.valid_loss, best, axis=0)[0]


def no_stop(seeds: int, heads: int, epochs: int) -> StopAt:
    """Returns stopping points that leave every choice to validation."""
    return StopAt(np.zeros((seeds, heads), np.int32), np.full((seeds, epochs), -1, np.int32))


def retrain_until(
    selected: Outcome,
    steps: Sequence[int],
    epochs: int,
    plateau: Plateau | None = None,
    idle: int = 0,
) -> StopAt:
    """Computes stopping points for retraining, from the run that selected them.

    Retraining takes about as many steps as the first run, and reduces the learning rates at the
    same steps. The validation loss cannot determine them, since retraining uses that part.

    Args:
        selected: outcome of the stage in the first run.
        steps: steps per epoch in the first run and in retraining.
        epochs: E, the maximal number of epochs of retraining.
        plateau: the schedule of the learning rates; None: constant.
        idle: epochs at the start that take no steps.
    """
    before, now = steps
    epoch = np.rint((selected.best_epoch - idle) * before / now) + idle
    # Where steps were selected, at least one epoch of them is taken.
    least = np.clip(selected.best_epoch, 1, idle + 1)
    epoch = np.clip(epoch, least, epochs).astype(np.int32)
    counts = np.full((len(epoch), epochs), -1, np.int32)
    if plateau is not None:
        counts[:] = 0
        when, seeds = np.nonzero(reductions(selected.history.valid_loss[:, :, 0], plateau))
        # Reductions after the selected epoch had no effect on the selected parameters.
        after = np.rint((when + 1) * before / now).astype(int)
        effective = (when + 1 < selected.best_epoch[seeds, 0]) & (after <= epochs)
        np.add.at(counts, (seeds[effective], np.maximum(after[effective], 1) - 1), 1)
    return StopAt(epoch, counts)
