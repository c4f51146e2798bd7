"""One stage of training, for one seed: pure functions from a state to the next epoch's."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mman_jax.models.networks import FUSION, Network
from mman_jax.training import freezing
from mman_jax.training.losses import balanced_weights, cross_entropy
from mman_jax.training.metrics import accuracy, confusion
from mman_jax.types import UNSCORED, Array, Batch

SELECT = ("accuracy", "loss")

ROWS = "rows"
"""The axis name over which a batch's rows are spread on several devices."""


class State(NamedTuple):
    """One seed's training; with a leading axis S, a run's. T counts the heads of the stage.

    Attributes:
        seed: uint32, what all of this seed's randomness comes from.
        epoch: int32, epochs done.
        params: the network's parameters as trained so far.
        opt_state: the optimizer's.
        best: parameters at the best validation epoch, each head's at its own.
        best_epoch: [T] int32, counted from 1; 0 before the first.
        best_score: [T] float32, what is maximised (see `Stage.select`).
        stopped: [T] bool, True once patience ran out: the best no longer changes.
        valid: [T, C, C] int32, validation counts at the best epoch.
        test: [T, C, C] int32, test counts at the best epoch.
        oracle: [T] float32, highest test accuracy of any epoch until stopped: what selection on
            the test set would have given. It decides nothing.
    """

    seed: Array
    epoch: Array
    params: Any
    opt_state: Any
    best: Any
    best_epoch: Array
    best_score: Array
    stopped: Array
    valid: Array
    test: Array
    oracle: Array


class Record(NamedTuple):
    """What an epoch showed, each [T]: training and validation loss, their accuracies on valid and
    test, and who is still training."""

    train_loss: Array
    valid_loss: Array
    valid_accuracy: Array
    test_accuracy: Array
    training: Array


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is trained together, and how its epochs run.

    Attributes:
        name: `towers` or `fusion`.
        network: the whole network.
        method: the network's function that answers: `predict`, `fuse` or `__call__`.
        heads: the answers trained, each with its own loss, best epoch and patience.
        groups: which group trains each parameter (`freezing.labels`).
        optimizer: the transformation of all parameters (`freezing.freeze`).
        classes: C.
        class_weights: whether the loss weighs classes by how rare they are in training.
        batch_rows: B, rows of a batch, over all devices.
        patience: epochs without a better validation score before a head stops.
        select: what picks the epoch: validation `accuracy` (of equals, the lower loss), or `loss`.
        valid_rows: how many of the held-out rows are validation's; the rest is test's.
        row_shards: devices over which a batch's rows are spread.
    """

    name: str
    network: Network
    method: str
    heads: tuple[str, ...]
    groups: Any
    optimizer: optax.GradientTransformation
    classes: int
    class_weights: bool
    batch_rows: int
    patience: int
    select: str
    valid_rows: int
    row_shards: int = 1

    def start(self, seed: Array, params: Any) -> State:
        """The state before the first epoch."""
        heads, classes = len(self.heads), self.classes
        counts = jnp.zeros((heads, classes, classes), jnp.int32)
        return State(
            seed=jnp.asarray(seed, jnp.uint32),
            epoch=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            best=params,
            best_epoch=jnp.zeros(heads, jnp.int32),
            best_score=jnp.full(heads, -jnp.inf, jnp.float32),
            stopped=jnp.zeros(heads, bool),
            valid=counts,
            test=counts,
            oracle=jnp.zeros(heads, jnp.float32),
        )

    def epoch(
        self, state: State, own: Mapping[str, Any], shared: Mapping[str, Batch]
    ) -> tuple[State, Record]:
        """Trains on every row once, scores validation and test, and keeps the best.

        Args:
            state: of one seed.
            own: features that are this seed's own (frozen towers' predictions), by part; empty
                where all seeds read the corpus's.
            shared: rows of `train`, and of `held`: validation, then test. The last row of each is
                empty.
        """
        parts = {
            name: batch._replace(features=own[name]) if name in own else batch
            for name, batch in shared.items()
        }
        state, train_loss = self.train(state, parts["train"])
        weights = self._weights(parts["train"].labels)
        (valid, test), (valid_loss, _) = self.evaluate(state.params, parts["held"], weights)
        record = Record(train_loss, valid_loss, accuracy(valid), accuracy(test), ~state.stopped)
        return self._keep_best(state, record, valid, test), record

    def train(self, state: State, part: Batch) -> tuple[State, Array]:
        """One epoch: every row of the part once, in an order of the seed's own.

        Returns:
            The state after it, and each head's loss [T], the mean over the batches.
        """
        key = jax.random.fold_in(jax.random.key(state.seed), 1 + state.epoch)
        order_key, dropout_key = jax.random.split(jax.random.fold_in(key, sum(self.name.encode())))
        if self.row_shards > 1:
            dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(ROWS))
        rows = _count(part)
        order = _in_batches(jax.random.permutation(order_key, rows), self.batch_rows, rows)
        class_weights = self._weights(part.labels)

        def loss(params, batch, key):
            logits = self._answer(params, batch, key)
            pairs = [cross_entropy(x, batch.labels, class_weights) for x in logits]
            sums, weights = (jnp.stack(x) for x in zip(*pairs, strict=True))
            means = sums / jnp.maximum(self._sum(weights), 1e-9)
            return means.sum(), means

        def step(carry, x):
            params, opt_state = carry
            rows, key = x
            grads, means = jax.grad(loss, has_aux=True)(params, _take(part, rows), key)
            grads, means = self._sum((grads, means))
            updates, opt_state = self.optimizer.update(grads, opt_state, params)
            params = freezing.apply_updates(params, updates, self.groups)
            return (params, opt_state), means

        keys = jax.random.split(dropout_key, len(order))
        (params, opt_state), losses = jax.lax.scan(
            step, (state.params, state.opt_state), (self._spread(order, rows), keys)
        )
        state = state._replace(epoch=state.epoch + 1, params=params, opt_state=opt_state)
        return state, losses.mean(0)

    def evaluate(self, params: Any, held: Batch, class_weights: Array) -> tuple[Array, Array]:
        """Scores every head on the held-out rows.

        Returns:
            Counts [2, T, C, C] int32 and mean loss [2, T], of validation and of test.
        """
        rows = _count(held)

        def step(_, index):
            batch = _take(held, index)
            logits = self._answer(params, batch)
            is_valid = (index < self.valid_rows)[:, None]
            parts = [jnp.where(own, batch.labels, UNSCORED) for own in (is_valid, ~is_valid)]
            counts = [[confusion(x, labels) for x in logits] for labels in parts]
            losses = [[cross_entropy(x, labels, class_weights) for x in logits] for labels in parts]
            return None, (jnp.array(counts), jnp.array(losses))

        order = self._spread(_in_batches(jnp.arange(rows), self.batch_rows, rows), rows)
        _, (counts, losses) = jax.lax.scan(step, None, order)
        counts, losses = self._sum((counts.sum(0), losses.sum(0)))
        return counts, losses[..., 0] / jnp.maximum(losses[..., 1], 1e-9)

    def predictions(self, params: Any, part: Batch) -> dict[str, Array]:
        """Every head's logits [R, U, C] on all rows of a part, the empty last one included."""
        rows = _count(part) + 1

        def step(_, index):
            return None, self._answer(params, _take(part, index))

        order = _in_batches(jnp.arange(rows), self.batch_rows, rows - 1)
        _, logits = jax.lax.scan(step, None, order)
        return {
            head: x.reshape(-1, *x.shape[2:])[:rows]
            for head, x in zip(self.heads, logits, strict=True)
        }

    def _answer(self, params, batch, dropout_key=None) -> list[Array]:
        train = dropout_key is not None
        logits, _ = self.network.apply(
            {"params": params},
            batch.features,
            batch.reset,
            train=train,
            rngs={"dropout": dropout_key} if train else None,
            method=self.method,
        )
        return [logits[head] for head in self.heads]

    def _keep_best(self, state, record, valid, test) -> State:
        if self.select == "accuracy":
            # Accuracy moves in steps of one utterance; the loss, squashed, only decides equals.
            utterances = jnp.maximum(valid.sum((1, 2)), 1)
            score = record.valid_accuracy - record.valid_loss / (1 + record.valid_loss) / (
                2 * utterances
            )
        else:
            score = -record.valid_loss
        better = (score > state.best_score) & ~state.stopped
        best_epoch = jnp.where(better, state.epoch, state.best_epoch)

        def pick(group, new, old):
            return jnp.where(better[self._head_of(group)], new, old)

        def pick_counts(new, old):
            return jnp.where(better[:, None, None], new, old)

        oracle = jnp.where(state.stopped, 0.0, record.test_accuracy)
        return state._replace(
            best=jax.tree.map(pick, self.groups, state.params, state.best),
            best_epoch=best_epoch,
            best_score=jnp.where(better, score, state.best_score),
            stopped=state.stopped | (state.epoch - best_epoch >= self.patience),
            valid=pick_counts(valid, state.valid),
            test=pick_counts(test, state.test),
            oracle=jnp.maximum(state.oracle, oracle),
        )

    def _weights(self, labels: Array) -> Array:
        if self.class_weights:
            return balanced_weights(labels, self.classes)
        return jnp.ones(self.classes)

    def _head_of(self, group: str) -> int:
        head = group.removeprefix("towers_")
        return self.heads.index(head if head in self.heads else self.heads[-1])

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


def head_names(network: Network, stage: str) -> tuple[str, ...]:
    """The heads that a stage trains."""
    return tuple(network.towers) if stage == "towers" else (FUSION,)


def batch_rows(rows: int, conversations: int, batch: int) -> int:
    """Rows that hold about `batch` conversations, such that all batches of an epoch are alike."""
    return math.ceil(rows / max(1, round(conversations / batch)))


def _count(part: Batch) -> int:
    return part.labels.shape[0] - 1


def _take(part: Batch, rows: Array) -> Batch:
    return jax.tree.map(lambda x: x[rows], part)


def _in_batches(order: Array, size: int, empty: int) -> Array:
    """[steps, size] row numbers, the last batch filled up with the empty row."""
    return jnp.pad(order, (0, -len(order) % size), constant_values=empty).reshape(-1, size)
