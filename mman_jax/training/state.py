"""State of training, records of its epochs, and the selection of the best epoch."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.tasks.losses import BY_LOSS
from mman_jax.tasks.metrics import unweighted_recall
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
        target: [T] int32, the epoch to select if it is known in advance; 0: the best on validation.
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
            stopped, as if the epoch were selected on the test part. It influences nothing.
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
    and test, and whether the head was still training.
    """

    train_loss: Array
    valid_loss: Array
    valid_accuracy: Array
    test_accuracy: Array
    training: Array


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
            test_accuracy: [T] float32, test accuracy of the epoch; it influences nothing.
            valid: [T, ...], validation tallies of the epoch.
            test: [T, ...], test tallies of the epoch; they influence nothing.
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
