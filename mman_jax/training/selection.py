"""Which epoch is kept: the best on validation, each head's own."""

from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.training.state import Record, State
from mman_jax.types import Array

SELECT = ("accuracy", "loss")


def keep_best(
    state: State,
    record: Record,
    valid: Array,
    test: Array,
    heads: Any,
    patience: int,
    select: str,
) -> State:
    """The state with the best epoch so far, and with the heads stopped whose patience ran out.

    Args:
        state: after an epoch, of one seed.
        record: what the epoch showed.
        valid: [T, C, C] int32, its validation counts.
        test: [T, C, C] int32, its test counts; they decide nothing.
        heads: a tree like the parameters: the index of the head that each belongs to.
        patience: epochs without a better validation score before a head stops.
        select: one of `SELECT`: validation `accuracy` (of equals, the lower loss), or `loss`.
    """
    if select == "accuracy":
        # Accuracy moves in steps of one utterance; the loss, squashed, only decides equals.
        utterances = jnp.maximum(valid.sum((1, 2)), 1)
        score = record.valid_accuracy - record.valid_loss / (1 + record.valid_loss) / (
            2 * utterances
        )
    else:
        score = -record.valid_loss
    failed = state.failed[:, 0] > 0
    better = (score > state.best_score) & ~state.stopped & ~failed
    best_epoch = jnp.where(better, state.epoch, state.best_epoch)

    def pick_counts(new, old):
        return jnp.where(better[:, None, None], new, old)

    oracle = jnp.where(state.stopped, 0.0, record.test_accuracy)
    return state._replace(
        best=jax.tree.map(
            lambda head, new, old: jnp.where(better[head], new, old),
            heads,
            state.params,
            state.best,
        ),
        best_epoch=best_epoch,
        best_score=jnp.where(better, score, state.best_score),
        stopped=state.stopped | failed | (state.epoch - best_epoch >= patience),
        valid=pick_counts(valid, state.valid),
        test=pick_counts(test, state.test),
        oracle=jnp.maximum(state.oracle, oracle),
    )
