"""Which epoch is kept: the best on validation, each head's own, or one that is given."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.evaluation.metrics import unweighted_recall
from mman_jax.training.state import Record, State
from mman_jax.types import Array

LAST = "last"
SELECT = ("loss", "calibrated", "accuracy", "recall", LAST)
"""What may pick the epoch, see `Selection`."""

LOSSES = SELECT[:2]
"""Of these, what picks by the loss and so serves numbers, too."""

TEMPERATURES = (1.0, *np.geomspace(0.5, 8.0, 13).tolist())
"""Of these the one of the lowest loss calibrates."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rule by which an epoch is kept.

    Attributes:
        by: of `SELECT`: the validation `loss`; the `calibrated` one, with the logits divided by the
            temperature that makes it lowest; `accuracy` or unweighted `recall`, and the lower loss
            of those that are equal (of recalls, those less than half a part in N apart); or
            nothing, for it is the `last` one before a head stops. Numbers have no temperature:
            `calibrated` is the `loss` of them.
        patience: epochs without a better score before a head stops; a lower loss, if by `last`.
        smoothing: how much the past weighs in the running mean of scores over the epochs; 0: each
            epoch counts by itself.
    """

    by: str
    patience: int
    smoothing: float = 0.0

    @property
    def temperatures(self) -> tuple[float, ...]:
        """By which logits are divided before the validation loss is taken; the first is 1."""
        return TEMPERATURES if self.by == "calibrated" else TEMPERATURES[:1]

    def score(self, record: Record, valid: Array, calibrated_loss: Array) -> Array:
        """What an epoch is judged by, [T] float32; the highest is the best.

        Args:
            record: what the epoch showed.
            valid: [T, C, C] int32, its validation counts.
            calibrated_loss: [T] float32, the lowest validation loss of all temperatures.
        """
        if self.by in ("loss", LAST):
            return -record.valid_loss
        if self.by == "calibrated":
            return -calibrated_loss
        share = record.valid_accuracy if self.by == "accuracy" else unweighted_recall(valid)
        # Half of what one utterance is of an accuracy at most: the squashed loss decides equals.
        utterances = jnp.maximum(valid.sum((1, 2)), 1)
        return share - record.valid_loss / (1 + record.valid_loss) / (2 * utterances)

    def smooth(self, state: State, scores: Array) -> Array:
        """The running mean [T] of the scores up to this epoch."""
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
        """The state with the best epoch so far, and with the heads stopped whose patience ran out.

        A head that has a target keeps that epoch, whatever its score, and stops there.

        Args:
            state: after an epoch, of one seed.
            params: those that were scored.
            scores: [T] float32 of that epoch.
            test_accuracy: [T] float32 of that epoch; it decides nothing.
            valid: [T, ...], its validation tallies.
            test: [T, ...], its test tallies; they decide nothing.
            heads: a tree like the parameters: the index of the head that each belongs to.
        """
        scores = self.smooth(state, scores)
        failed, given = state.failed[:, 0] > 0, state.target > 0
        better = (scores > state.best_score) | (self.by == LAST)
        better = jnp.where(given, state.epoch == state.target, better)
        better = better & ~state.stopped & ~failed
        best_epoch = jnp.where(better, state.epoch, state.best_epoch)
        improved = state.lowest.epoch if self.by == LAST else best_epoch
        late = state.epoch - improved >= self.patience
        late = jnp.where(given, state.epoch >= state.target, late)

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
