"""Training of one stage for one seed, as pure functions from one state to the next.

`StageTraining.step` takes a step of the optimizer, `train` all steps of an epoch, and `epoch` also
evaluates the epoch.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mman_jax.systems.base import System, owner
from mman_jax.tasks.task import Objective
from mman_jax.training import optimizer
from mman_jax.training.mesh import ROWS
from mman_jax.training.optimizer import FROZEN, Averaging, Plateau
from mman_jax.training.rows import count, filled_first, in_batches, take
from mman_jax.training.state import LAST, Record, Selection, State, StopAt
from mman_jax.types import Array, Batch, unscored


@dataclasses.dataclass(frozen=True)
class StageTraining:
    """The heads that are trained together, and their settings.

    Equal objects share compiled programs.

    Attributes:
        name: name of the stage.
        key: distinguishes the stage's random numbers from those of the system's other stages.
        system: the full network.
        method: the system's method that predicts.
        heads: the trained heads; each has its own loss, best epoch and patience.
        batch_rows: B, rows of a batch on all devices together.
        row_shards: number of devices over which a batch's rows are spread.
        objective: the loss, and the sums (tallies) that scores are computed from.
        selection: selects the best epoch.
        valid_rows: the number of holdout rows of the validation part; the rest is the test part.
        groups: the group that trains each parameter (`optimizer.labels`).
        settings: settings of the optimizer, see `optimizer.optimizer`.
        averaging: the average of the parameters, which is evaluated and selected.
        padded: whether rows may be empty, so that several splits of a corpus have equal shapes;
            batches of empty rows are skipped.
        from_start: whether the initial parameters may be selected: the first epoch takes no steps.
        plateau: the schedule of the learning rates; None if they are constant.
    """

    name: str
    key: int
    system: System
    method: str
    heads: tuple[str, ...]
    batch_rows: int
    row_shards: int
    objective: Objective
    selection: Selection
    valid_rows: int
    groups: Any
    settings: Mapping[str, Any]
    averaging: Averaging
    padded: bool
    from_start: bool = False
    plateau: Plateau | None = None

    def __hash__(self) -> int:
        # The trees are not hashable; equality compares them.
        return hash((self.name, self.method, self.heads, self.objective, self.batch_rows))

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """The transformation of all parameters.

        Raises:
            InputError: if the optimizer is unknown.
        """
        return optimizer.freeze(
            lambda group: optimizer.optimizer(self.settings, group), self.groups
        )

    def start(self, seed: Array, stop_at: StopAt, params: Any) -> State:
        """Initialises the state of one seed, with its parameters, before the first epoch."""
        heads = len(self.heads)
        empty_tally = self.objective.nothing(heads)
        return State(
            seed=jnp.asarray(seed, jnp.uint32),
            lr_scale=jnp.ones((), jnp.float32),
            epoch=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            average=self.averaging.start(params),
            target=jnp.asarray(stop_at.epoch, jnp.int32),
            best=params,
            best_epoch=jnp.zeros(heads, jnp.int32),
            best_score=jnp.full(heads, -jnp.inf, jnp.float32),
            smoothed=jnp.zeros(heads, jnp.float32),
            stopped=jnp.zeros(heads, bool),
            failed=jnp.zeros((heads, 2), jnp.int32),
            failed_norm=jnp.zeros(heads, jnp.float32),
            valid=empty_tally,
            test=empty_tally,
            oracle=jnp.full(heads, -jnp.inf, jnp.float32),
            lowest=optimizer.start_lowest(heads) if self._tracks_lowest else (),
            reductions=jnp.asarray(stop_at.reductions, jnp.int32) if self.plateau else (),
        )

    def epoch(
        self, state: State, per_seed: Mapping[str, Any], shared: Mapping[str, Batch]
    ) -> tuple[State, Record]:
        """Trains on every row once, scores validation and test, and selects the best epoch.

        Args:
            state: of one seed.
            per_seed: features of this seed (frozen towers' predictions), by part; empty if all
                seeds read the corpus's features.
            shared: rows of `train`, and of `holdout` (validation, then test), each with an empty
                row at the end.
        """
        parts = {
            name: batch._replace(features=per_seed[name]) if name in per_seed else batch
            for name, batch in shared.items()
        }

        def train(state):
            state, train_loss = self.train(state, parts["train"])
            reference = self.objective.reference(parts["train"].labels)
            scores = self.evaluate(self.averaged(state), parts, reference)
            return self.finish(state, train_loss, scores)

        def skip(state):
            zeros = jnp.zeros(len(self.heads), jnp.float32)
            record = Record(zeros, zeros, zeros, zeros, zeros.astype(bool), zeros)
            return state._replace(epoch=state.epoch + 1), record

        # If seeds run one after another, a stopped seed takes no time while others continue.
        return jax.lax.cond(state.stopped.all(), skip, train, state)

    def epochs(
        self, state: State, per_seed: Mapping[str, Any], shared: Mapping[str, Batch], count: int
    ) -> tuple[State, Record]:
        """Runs `epoch` `count` times; records are [count, T]."""
        return jax.lax.scan(lambda x, _: self.epoch(x, per_seed, shared), state, length=count)

    def train(self, state: State, part: Batch) -> tuple[State, Array]:
        """Takes the steps of an epoch: every row of the part once, in a random order.

        Also returns each head's loss [T], the mean over the batches.
        """
        rows = count(part)
        key = jax.random.fold_in(self._key(state), 0)
        order = jax.random.permutation(key, rows)
        if self.padded:
            order, filled = filled_first(order, part)
        order = self._spread(in_batches(order, self.batch_rows, rows), rows)
        reference = self.objective.reference(part.labels)

        def step(state, x):
            number, rows = x
            return self.step(state, take(part, rows), number, reference)

        batches = (jnp.arange(len(order)), order)
        if not self.padded:
            state, losses = jax.lax.scan(step, state, batches)
            return state, losses.mean(0)

        def step_if_filled(state, x):
            is_filled = x[0] * self.batch_rows < filled
            no_loss = jnp.zeros(len(self.heads))
            return jax.lax.cond(is_filled, step, lambda state, _: (state, no_loss), state, x)

        state, losses = jax.lax.scan(step_if_filled, state, batches)
        return state, losses.sum(0) / jnp.ceil(filled / self.batch_rows)

    def step(
        self, state: State, batch: Batch, number: Array, reference: Array
    ) -> tuple[State, Array]:
        """Takes one step of the optimizer; also returns each head's loss [T].

        Args:
            state: of one seed.
            batch: this device's rows of the batch.
            number: the step's number in the epoch, from 0.
            reference: `Objective.reference` of the training labels.
        """
        key = jax.random.fold_in(jax.random.fold_in(self._key(state), 1), number)
        if self.row_shards > 1:
            key = jax.random.fold_in(key, jax.lax.axis_index(ROWS))

        def loss(params):
            outputs = self.outputs(params, batch, key)
            logits = [outputs[head] for head in self.heads]
            pairs = [self.objective.loss(x, batch.labels, reference, self._sum) for x in logits]
            others = self.system.losses(outputs, batch.inputs, batch.labels)
            # These are sums over this device's rows; the gradients are summed over the devices.
            means, others = (self._means(x) for x in (pairs, list(others.values())))
            return means.sum() + others.sum(), means

        grads, means = self._sum(jax.grad(loss, has_aux=True)(state.params))
        updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda x: state.lr_scale * x, updates)
        params = optimizer.apply_updates(state.params, updates, self.groups)
        state = record_failures(state, means, self._norms(grads), number)
        average = self.averaging.update(state.average, params)
        new = state._replace(params=params, opt_state=opt_state, average=average)
        if self.from_start:
            new = jax.tree.map(lambda x, y: jnp.where(state.epoch > 0, x, y), new, state)
        return new, means

    def averaged(self, state: State) -> Any:
        """Returns the parameters that are evaluated and selected: the last ones, or the average."""
        return self.averaging.averaged(state.average, state.params, self.groups)

    def finish(
        self, state: State, train_loss: Array, scores: tuple[Array, Array]
    ) -> tuple[State, Record]:
        """Ends an epoch: counts it, updates the best epoch, and may reduce the learning rates.

        The loss [T] is the mean over the steps, and `scores` the sum of the results of `score`.
        """
        (valid, test), losses = scores
        valid_losses = self.objective.valid_losses(valid, losses)
        valid_score, test_score = (self.objective.score(tallies) for tallies in (valid, test))
        loss, alive = valid_losses[:, 0], ~state.stopped
        record = Record(train_loss, loss, valid_score, test_score, alive, -loss)
        state = state._replace(epoch=state.epoch + 1)
        if self._tracks_lowest:
            lowest = optimizer.update_lowest(state.lowest, state.epoch, record.valid_loss)
            state = state._replace(lowest=lowest)
        if self.plateau:
            known = state.reductions[state.epoch - 1]
            now = state.lr_scale, self.plateau, state.lowest, state.epoch
            state = state._replace(lr_scale=optimizer.reduce_scale(*now, known))
        heads = jax.tree.map(self._head_of, self.groups)
        score = self.selection.score(record, valid, valid_losses.min(1))
        state = self.selection.keep_best(
            state, self.averaged(state), score, record.test_accuracy, valid, test, heads
        )
        return state, record._replace(score=state.smoothed)

    def evaluate(
        self, params: Any, parts: Mapping[str, Batch], reference: Array
    ) -> tuple[Array, Array]:
        """Sums the results of `score` over all holdout rows [R + 1, U, ...]."""
        holdout = parts["holdout"]
        rows = count(holdout)

        def step(_, index):
            is_valid = (index < self.valid_rows)[:, None]
            return None, self.score(params, take(holdout, index), is_valid, reference)

        order = self._spread(in_batches(jnp.arange(rows), self.batch_rows, rows), rows)
        _, (tallies, losses) = jax.lax.scan(step, None, order)
        return tallies.sum(0), losses.sum(0)

    def score(
        self, params: Any, batch: Batch, is_valid: Array, reference: Array
    ) -> tuple[Array, Array]:
        """Computes the tallies and the loss of every head on this device's holdout rows of a batch.

        Args:
            params: the network's parameters.
            is_valid: [B, 1] bool, True for validation rows, False for test rows.
            reference: `Objective.reference` of the training labels.

        Returns:
            Tallies [2, T, ...] of validation and of test; and the summed validation loss at each
            temperature, with its weight last, [T, temperatures + 1] float32.
        """
        outputs, objective = self.outputs(params, batch), self.objective
        logits = [outputs[head] for head in self.heads]
        if batch.labels.ndim == 3:
            is_valid = is_valid[..., None]
        no_label = unscored(batch.labels.dtype)
        parts = [jnp.where(x, batch.labels, no_label) for x in (is_valid, ~is_valid)]
        tallies = [[objective.tally(x, labels, reference) for x in logits] for labels in parts]
        temperatures = self.selection.temperatures
        losses = [objective.summed(x, parts[0], reference, temperatures) for x in logits]
        return self._sum((jnp.array(tallies), jnp.array(losses)))

    def predictions(self, params: Any, part: Batch) -> dict[str, Array]:
        """Returns the method's outputs [R, U, ...] on all rows, including the empty last one."""
        rows = count(part) + 1

        def step(_, index):
            return None, self.outputs(params, take(part, index))

        order = in_batches(jnp.arange(rows), self.batch_rows, rows - 1)
        _, batches = jax.lax.scan(step, None, order)
        return {name: x.reshape(-1, *x.shape[2:])[:rows] for name, x in batches.items()}

    def outputs(
        self, params: Any, batch: Batch, dropout_key: Array | None = None
    ) -> dict[str, Array]:
        """Runs the method; with a key, dropout is applied."""
        train, method = dropout_key is not None, self.method
        rngs = {} if dropout_key is None else {"dropout": dropout_key}
        variables = {"params": params}
        return self.system.apply(variables, batch.inputs, None, train, rngs=rngs, method=method)[0]

    def _spread(self, order: Array, empty: int) -> Array:
        """Selects this device's rows [steps, B / shards] of each batch, padded by the empty row."""
        if self.row_shards == 1:
            return order
        more = -order.shape[1] % self.row_shards
        order = jnp.pad(order, ((0, 0), (0, more)), constant_values=empty)
        shards = order.reshape(order.shape[0], self.row_shards, -1)
        return shards[:, jax.lax.axis_index(ROWS)]

    def _sum(self, tree):
        return jax.lax.psum(tree, ROWS) if self.row_shards > 1 else tree

    @property
    def _tracks_lowest(self) -> bool:
        return self.plateau is not None or self.selection.by == LAST

    def _means(self, pairs: list[tuple[Array, Array]]) -> Array:
        if not pairs:
            return jnp.zeros(0)
        sums, weights = (jnp.stack(x) for x in zip(*pairs, strict=True))
        return sums / jnp.maximum(self._sum(weights), 1e-9)

    def _key(self, state: State) -> Array:
        key = jax.random.fold_in(jax.random.key(state.seed), 1 + state.epoch)
        return jax.random.fold_in(key, self.key)

    def _norms(self, grads: Any) -> Array:
        squares = [jnp.zeros(())] * len(self.heads)
        for group, x in zip(jax.tree.leaves(self.groups), jax.tree.leaves(grads), strict=True):
            if group != FROZEN:
                squares[self._head_of(group)] += jnp.sum(x * x)
        return jnp.sqrt(jnp.stack(squares))

    def _head_of(self, group: str) -> int:
        return self.heads.index(owner(group, self.heads) or self.heads[-1])


def record_failures(state: State, losses: Array, norms: Array, step: Array) -> State:
    """Records the first step, from 0, at which a head's loss or norm [T] is not finite."""
    broken = ~(jnp.isfinite(losses) & jnp.isfinite(norms))
    first = broken & (state.failed[:, 0] == 0) & ~state.stopped
    now = jnp.stack([state.epoch + 1, step + 1]).astype(jnp.int32)
    return state._replace(
        failed=jnp.where(first[:, None], now, state.failed),
        failed_norm=jnp.where(first, norms, state.failed_norm),
    )
