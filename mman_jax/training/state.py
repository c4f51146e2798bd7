"""State of training, records of epochs, selection of the best epoch, and outcomes of stages."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.tasks.losses import BY_LOSS
from mman_jax.tasks.metrics import unweighted_recall
from mman_jax.training import processes
from mman_jax.training.optimizer import Plateau, reductions
from mman_jax.types import Array

LAST = "last"
SELECT = (*BY_LOSS, "accuracy", "recall", LAST)
"""The criteria by which the best epoch may be selected; see `Selection`."""

TEMPERATURES = (1.0, *np.geomspace(0.5, 8.0, 13).tolist())
"""Candidate temperatures for calibration; the one with the lowest loss is used."""


class State(NamedTuple):
    """State of one seed's training, or with a leading axis S of all seeds; the stage has T heads.

    Attributes:
        seed: uint32, the source of all random numbers of this seed.
        lr_scale: float32, the factor on this seed's learning rates, 1 until a `Plateau` reduces it.
        epoch: int32, the number of completed epochs.
        params: the network's parameters after the last step.
        opt_state: the optimizer's state.
        average: the exponential average of the parameters over the steps; `()` without averaging.
        target: [T] int32, the epoch to select if it is known in advance; 0: the best one on
            validation.
        best: the parameters at the best validation epoch of the head that they belong to.
        best_epoch: [T] int32, counted from 1; 0 before the first epoch.
        best_score: [T] float32, the highest score (see `Selection`).
        smoothed: [T] float32, the running mean of the scores over the epochs.
        stopped: [T] bool, True once patience ran out or training failed; the best is then final.
        failed: [T, 2] int32, epoch and step, counted from 1, of the first loss or gradient that was
            not finite; zeros if all were finite.
        failed_norm: [T] float32, the gradient's norm at that step.
        valid: [T, C, C] int32, validation counts at the best epoch; for numbers, the sums
            [T, C, K] float32 of each of C targets (`tasks.ratings`).
        test: the same for the test part.
        oracle: [T] float32, the highest test accuracy (for numbers: CCC) of any epoch until
            stopped, as if the epoch were selected on the test part. It is only reported.
        lowest: the lowest validation loss of each head and its epoch (`optimizer.Lowest`); `()` if
            it is not needed.
        reductions: [E] int32, the number of times the learning rates are reduced after each epoch,
            if that is known in advance; -1: decided by the loss. `()` without a plateau.
    """

    seed: Array
    lr_scale: Array
    epoch: Array
    params: Any
    opt_state: Any
    average: Any
    target: Array
    best: Any
    best_epoch: Array
    best_score: Array
    smoothed: Array
    stopped: Array
    failed: Array
    failed_norm: Array
    valid: Array
    test: Array
    oracle: Array
    lowest: Any = ()
    reductions: Any = ()


class Record(NamedTuple):
    """Results of an epoch, each [T].

    These are the training and validation losses, the accuracies (for numbers, CCC) on validation
    and test, whether the head was still training, and the score by which `Selection` selects the
    best epoch, smoothed if it smooths.
    """

    train_loss: Array
    valid_loss: Array
    valid_accuracy: Array
    test_accuracy: Array
    training: Array
    score: Array


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rule that selects the best epoch of each head.

    Attributes:
        by: one of `SELECT`: the validation `loss`; the `calibrated` loss, with the logits divided
            by the temperature that minimises it; `accuracy` or unweighted `recall`, with ties
            broken by the lower loss (recalls tie if they differ by less than half a part in N); or
            `last`, the last epoch before the head stops. Numbers have no temperature: for them
            `calibrated` is the `loss`.
        patience: epochs without a better score (with `last`: a lower loss) before a head stops.
        smoothing: the weight of the past in the running mean of the scores; 0: no smoothing.
    """

    by: str
    patience: int
    smoothing: float = 0.0

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Divisors of the logits in the validation loss; the first is 1."""
        return TEMPERATURES if self.by == "calibrated" else TEMPERATURES[:1]

    def score(self, record: Record, valid: Array, calibrated_loss: Array) -> Array:
        """Scores an epoch, [T] float32; the highest score is the best.

        Args:
            record: results of the epoch.
            valid: [T, C, C] int32, its validation counts.
            calibrated_loss: [T] float32, the lowest validation loss of all temperatures.
        """
        if self.by in ("loss", LAST):
            return -record.valid_loss
        if self.by == "calibrated":
            return -calibrated_loss
        share = record.valid_accuracy if self.by == "accuracy" else unweighted_recall(valid)
        # The loss only breaks ties: its term is at most half of one utterance's share.
        utterances = jnp.maximum(valid.sum((1, 2)), 1)
        return share - record.valid_loss / (1 + record.valid_loss) / (2 * utterances)

    def smooth(self, state: State, scores: Array) -> Array:
        """Returns the running mean [T] of the scores up to this epoch."""
        if not self.smoothing:
            return scores
        mean = self.smoothing * state.smoothed + (1 - self.smoothing) * scores
        return jnp.where(state.epoch == 1, scores, mean)

    def keep_best(
        self,
        state: State,
        params: Any,
        scores: Array,
        test_accuracy: Array,
        valid: Array,
        test: Array,
        heads: Any,
    ) -> State:
        """Updates the best epoch so far, and stops the heads whose patience ran out.

        A head with a target selects that epoch, regardless of its score, and stops there.

        Args:
            state: state of one seed after an epoch.
            params: the parameters that were scored.
            scores: [T] float32, scores of the epoch.
            test_accuracy: [T] float32; like `test`, only reported.
            valid: [T, ...], validation tallies.
            test: [T, ...], test tallies.
            heads: the index of the head that each parameter belongs to, a tree like `params`.
        """
        scores = self.smooth(state, scores)
        failed, has_target = state.failed[:, 0] > 0, state.target > 0
        better = (scores > state.best_score) | (self.by == LAST)
        better = jnp.where(has_target, state.epoch == state.target, better)
        better = better & ~state.stopped & ~failed
        best_epoch = jnp.where(better, state.epoch, state.best_epoch)
        improved = state.lowest.epoch if self.by == LAST else best_epoch
        late = state.epoch - improved >= self.patience
        late = jnp.where(has_target, state.epoch >= state.target, late)

        def pick_counts(new, old):
            return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return state._replace(
            best=jax.tree.map(
                lambda head, new, old: jnp.where(better[head], new, old), heads, params, state.best
            ),
            best_epoch=best_epoch,
            best_score=jnp.where(better, scores, state.best_score),
            smoothed=scores,
            stopped=state.stopped | failed | late,
            valid=pick_counts(valid, state.valid),
            test=pick_counts(test, state.test),
            oracle=jnp.where(state.stopped, state.oracle, jnp.maximum(state.oracle, test_accuracy)),
        )


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


def unstack(history: Record) -> list[Record]:
    """Splits a stacked record into single epochs; the inverse of `stack`."""
    return [Record(*epoch) for epoch in zip(*history, strict=True)]


def by_epoch(records: Record) -> list[Record]:
    """Splits a record [S, E, T] into one [S, T] for each epoch."""
    return unstack(jax.tree.map(lambda x: x.swapaxes(0, 1), records))


def outcome(state: State, history: Record) -> Outcome:
    """Collects the results of a stage, gathered on every process."""
    arrays = [getattr(state, name) for name in Outcome._fields[:-1]]
    return Outcome._make([*processes.gather(arrays), history])


def converged(finished: Mapping[str, Outcome]) -> np.ndarray:
    """Returns which seeds, [S] bool, have a best epoch in every stage and failed in none."""
    return np.all(
        [(o.best_epoch > 0).all(1) & ~o.failed.any((1, 2)) for o in finished.values()], axis=0
    )


def of_seeds(finished: Mapping[str, Outcome], chosen: np.ndarray) -> dict[str, Outcome]:
    """Selects the results of some seeds ([S] bool) in every stage."""

    def of_stage(outcome):
        history = jax.tree.map(lambda x: x[:, chosen], outcome.history)
        return Outcome._make([*(x[chosen] for x in outcome[:-1]), history])

    return {name: of_stage(outcome) for name, outcome in finished.items()}


def refitted(
    selected: Mapping[str, Outcome], retrained: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Replaces test counts by those of retrained networks, and adds the failures of retraining."""
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
    arrays = zip(*(outcome[:-1] for outcome in outcomes), strict=True)
    return Outcome._make([*(np.concatenate(x, axis=1) for x in arrays), history])


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
    """Computes stopping points for retraining, which uses the validation part.

    Retraining takes about as many steps as the run that selected them, and reduces the learning
    rates at the same steps.

    Args:
        selected: outcome of the stage in the first run.
        steps: steps per epoch in the first run and in retraining.
        epochs: E, the maximal number of epochs of retraining.
        plateau: the schedule of the learning rates; None if they are constant.
        idle: epochs at the start that take no steps.
    """
    before, now = steps
    epoch = np.rint((selected.best_epoch - idle) * before / now) + idle
    # If the selected epoch took steps, retraining takes at least one epoch of steps.
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
