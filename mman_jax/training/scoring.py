"""What a stage's answers to held-out rows are worth, for one seed: pure functions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.training.answers import StageAnswers
from mman_jax.training.objectives import Objective
from mman_jax.training.rows import count, in_batches, take
from mman_jax.training.selection import Selection
from mman_jax.types import Array, Batch, unscored


@dataclasses.dataclass(frozen=True)
class StageScores(StageAnswers):
    """The scores of a stage's heads on validation and on test.

    Attributes:
        objective: what is learnt: the loss, and the sums that scores are of (tallies).
        selection: what picks the epoch.
        valid_rows: how many of the held-out rows are validation's; the rest is test's.
    """

    objective: Objective
    selection: Selection
    valid_rows: int

    def evaluate(
        self, params: Any, parts: Mapping[str, Batch], reference: Array
    ) -> tuple[Array, Array]:
        """What `score` gives of the held-out rows [R + 1, U, ...] together, summed over them."""
        held = parts["held"]
        rows = count(held)

        def step(_, index):
            is_valid = (index < self.valid_rows)[:, None]
            return None, self.score(params, take(held, index), is_valid, reference)

        order = self._spread(in_batches(jnp.arange(rows), self.batch_rows, rows), rows)
        _, (tallies, losses) = jax.lax.scan(step, None, order)
        return tallies.sum(0), losses.sum(0)

    def score(
        self, params: Any, batch: Batch, is_valid: Array, reference: Array
    ) -> tuple[Array, Array]:
        """Tallies and loss of every head on a batch of held-out rows.

        Args:
            params: the network's.
            batch: this device's rows of the batch.
            is_valid: [B, 1] bool, whose the row is: validation's, or test's.
            reference: what the objective took from the training labels.

        Returns:
            Tallies [2, T, ...] of validation and of test; and of validation the summed loss at each
            temperature, and last its weight [T, temperatures + 1] float32.
        """
        logits, temperatures = self.answer(params, batch), self.selection.temperatures
        own = (is_valid, ~is_valid)
        if batch.labels.ndim == 3:
            own = tuple(x[..., None] for x in own)
        nothing = unscored(batch.labels.dtype)
        parts = [jnp.where(x, batch.labels, nothing) for x in own]
        objective = self.objective
        tallies = [[objective.tally(x, labels, reference) for x in logits] for labels in parts]
        losses = [objective.summed(x, parts[0], reference, temperatures) for x in logits]
        return self._sum((jnp.array(tallies), jnp.array(losses)))
