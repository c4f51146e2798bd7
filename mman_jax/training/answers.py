"""What a stage's method answers, for one seed: pure functions of parameters and rows."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.systems.base import System, sown_losses
from mman_jax.training.mesh import ROWS
from mman_jax.training.rows import count, in_batches, take
from mman_jax.types import Array, Batch


@dataclasses.dataclass(frozen=True)
class StageAnswers:
    """The answers of a stage's heads.

    Attributes:
        name: of the stage.
        key: what sets its random numbers apart from those of the system's other stages.
        system: the whole network.
        method: the system's method that answers.
        heads: the answers trained, each with its own loss, best epoch and patience.
        batch_rows: B, rows of a batch, over all devices.
        row_shards: devices over which a batch's rows are spread.
    """

    name: str
    key: int
    system: System
    method: str
    heads: tuple[str, ...]
    batch_rows: int
    row_shards: int

    def predictions(self, params: Any, part: Batch) -> dict[str, Array]:
        """What the method gives on all rows of a part, the empty last one included: arrays
        [R, U, ...] by name (logits [R, U, C] by head, where it answers)."""
        rows = count(part) + 1

        def step(_, index):
            return None, self.outputs(params, take(part, index))

        order = in_batches(jnp.arange(rows), self.batch_rows, rows - 1)
        _, found = jax.lax.scan(step, None, order)
        return {name: x.reshape(-1, *x.shape[2:])[:rows] for name, x in found.items()}

    def answer(self, params: Any, batch: Batch, dropout_key: Array | None = None) -> list[Array]:
        """Every head's logits [B, U, C]; dropout acts where there is a key for it."""
        return self._apply(params, batch, dropout_key)[0]

    def outputs(self, params: Any, batch: Batch) -> dict[str, Array]:
        """What the method gives, by name, where it is not of logits alone: what a stage reads."""
        found, _ = self.system.apply(
            {"params": params},
            batch.features,
            batch.reset,
            present=batch.present,
            method=self.method,
        )
        return found

    def _apply(
        self, params: Any, batch: Batch, dropout_key: Array | None
    ) -> tuple[list[Array], list[tuple[Array, Array]]]:
        train = dropout_key is not None
        (logits, _), kept = self.system.apply(
            {"params": params, "cells": {"mask": batch.mask}},
            batch.features,
            batch.reset,
            train=train,
            present=batch.present,
            rngs={"dropout": dropout_key} if train else None,
            method=self.method,
            mutable=["losses"],
        )
        return [logits[head] for head in self.heads], sown_losses(kept)

    def _spread(self, order: Array, empty: int) -> Array:
        """This device's rows of each batch, filled up with the empty row: [steps, B / shards]."""
        if self.row_shards == 1:
            return order
        order = jnp.pad(
            order, ((0, 0), (0, -order.shape[1] % self.row_shards)), constant_values=empty
        )
        shards = order.reshape(order.shape[0], self.row_shards, -1)
        return shards[:, jax.lax.axis_index(ROWS)]

    def _sum(self, tree):
        return jax.lax.psum(tree, ROWS) if self.row_shards > 1 else tree
