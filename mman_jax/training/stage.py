"""One stage of training, for one seed: pure functions from a state to the next epoch's."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mman_jax.systems.base import owner
from mman_jax.training import averaging, failures, freezing, plateau
from mman_jax.training.goal import Goal
from mman_jax.training.mesh import ROWS
from mman_jax.training.optimizer import optimizer
from mman_jax.training.plateau import Plateau
from mman_jax.training.rows import count, filled_first, in_batches, take
from mman_jax.training.scoring import StageScores
from mman_jax.training.selection import LAST
from mman_jax.training.state import Record, State
from mman_jax.types import Array, Batch


@dataclasses.dataclass(frozen=True)
class StageTraining(StageScores):
    """What is trained together, and how its epochs run; equal ones compile to the same programs.

    Attributes:
        groups: which group trains each parameter (`freezing.labels`).
        settings: of the optimizer, see `optimizer`.
        decay: of the average of the parameters that is validated and kept; 0: the last iterate is.
        padded: whether rows may be empty, so that several splits of a corpus have equal shapes: a
            batch of such rows alone is no step.
        plateau: how the learning rates fall; None: they stay.
    """

    groups: Any
    settings: Mapping[str, Any]
    decay: float
    padded: bool
    plateau: Plateau | None = None

    def __hash__(self) -> int:
        # The trees have none; equality looks at them.
        return hash((self.name, self.method, self.heads, self.objective, self.batch_rows))

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """The transformation of all parameters.

        Raises:
            InputError: an unknown optimizer.
        """
        return freezing.freeze(lambda group: optimizer(self.settings, group), self.groups)

    def start(self, seed: Array, pace: Array, goal: Goal, params: Any) -> State:
        """The state of one seed before the first epoch.

        Args:
            seed: a scalar, integer.
            pace: a scalar, float: what this seed's learning rates are multiplied by.
            goal: what is known before of where it is to come to.
            params: the network's, without a seed axis.
        """
        heads = len(self.heads)
        nothing = self.objective.nothing(heads)
        return State(
            seed=jnp.asarray(seed, jnp.uint32),
            pace=jnp.asarray(pace, jnp.float32),
            epoch=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            average=averaging.start(params, self.decay),
            target=jnp.asarray(goal.epoch, jnp.int32),
            best=params,
            best_epoch=jnp.zeros(heads, jnp.int32),
            best_score=jnp.full(heads, -jnp.inf, jnp.float32),
            smoothed=jnp.zeros(heads, jnp.float32),
            stopped=jnp.zeros(heads, bool),
            failed=jnp.zeros((heads, 2), jnp.int32),
            failed_norm=jnp.zeros(heads, jnp.float32),
            valid=nothing,
            test=nothing,
            oracle=jnp.full(heads, -jnp.inf, jnp.float32),
            lowest=plateau.start(heads) if self._notes_losses else (),
            falls=jnp.asarray(goal.falls, jnp.int32) if self.plateau else (),
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

        def one(state):
            state, train_loss = self.train(state, parts["train"])
            reference = self.objective.reference(parts["train"].labels)
            return self.finish(state, train_loss, self.evaluate(self.kept(state), parts, reference))

        def nothing(state):
            heads = len(self.heads)
            zeros = jnp.zeros(heads, jnp.float32)
            record = Record(zeros, zeros, zeros, zeros, jnp.zeros(heads, bool))
            return state._replace(epoch=state.epoch + 1), record

        # A seed that has stopped costs nothing while others go on (where seeds run in turn).
        return jax.lax.cond(state.stopped.all(), nothing, one, state)

    def epochs(
        self, state: State, own: Mapping[str, Any], shared: Mapping[str, Batch], count: int
    ) -> tuple[State, Record]:
        """`epoch` so many times over; records are [count, T]."""
        return jax.lax.scan(lambda x, _: self.epoch(x, own, shared), state, length=count)

    def train(self, state: State, part: Batch) -> tuple[State, Array]:
        """Steps over every row of the part once, in an order of the seed's own.

        Returns:
            The state after it, and each head's loss [T], the mean over the batches.
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
            nothing = jnp.zeros(len(self.heads))
            return jax.lax.cond(is_filled, step, lambda state, _: (state, nothing), state, x)

        state, losses = jax.lax.scan(step_if_filled, state, batches)
        return state, losses.sum(0) / jnp.ceil(filled / self.batch_rows)

    def step(
        self, state: State, batch: Batch, number: Array, reference: Array
    ) -> tuple[State, Array]:
        """One step of the optimizer.

        Args:
            state: of one seed.
            batch: this device's rows of the batch.
            number: which step of the epoch it is.
            reference: what the objective took from the training labels.

        Returns:
            The state after it, and each head's loss [T].
        """
        key = jax.random.fold_in(jax.random.fold_in(self._key(state), 1), number)
        if self.row_shards > 1:
            key = jax.random.fold_in(key, jax.lax.axis_index(ROWS))

        def loss(params):
            logits, sown = self._apply(params, batch, key)
            pairs = [self.objective.loss(x, batch.labels, reference, self._sum) for x in logits]
            # All are sums over this device's rows: the gradients are added over the devices.
            means, others = (self._means(x) for x in (pairs, sown))
            return means.sum() + others.sum(), means

        grads, means = self._sum(jax.grad(loss, has_aux=True)(state.params))
        updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda x: state.pace * x, updates)
        params = freezing.apply_updates(state.params, updates, self.groups)
        state = failures.note(state, means, self._norms(grads), number)
        average = averaging.update(state.average, params, self.decay)
        return state._replace(params=params, opt_state=opt_state, average=average), means

    def kept(self, state: State) -> Any:
        """The parameters that are validated and kept: the last ones, or their average."""
        return averaging.value(state.average, state.params, self.groups, self.decay)

    def finish(
        self, state: State, train_loss: Array, scores: tuple[Array, Array]
    ) -> tuple[State, Record]:
        """Ends an epoch: counts it, and keeps what is best.

        Args:
            state: after the epoch's last step.
            train_loss: [T] float32, the mean over the steps.
            scores: the sum of what `score` gave.
        """
        (valid, test), losses = scores
        valid_losses = self.objective.valid_losses(valid, losses)
        shown = [self.objective.score(tallies) for tallies in (valid, test)]
        record = Record(train_loss, valid_losses[:, 0], *shown, ~state.stopped)
        state = state._replace(epoch=state.epoch + 1)
        if self._notes_losses:
            lowest = plateau.note(state.lowest, state.epoch, record.valid_loss)
            state = state._replace(lowest=lowest)
        if self.plateau:
            known = state.falls[state.epoch - 1]
            pace = plateau.fall(state.pace, self.plateau, state.lowest, state.epoch, known)
            state = state._replace(pace=pace)
        heads = jax.tree.map(self._head_of, self.groups)
        score = self.selection.score(record, valid, valid_losses.min(1))
        state = self.selection.keep_best(
            state, self.kept(state), score, record.test_accuracy, valid, test, heads
        )
        return state, record

    @property
    def _notes_losses(self) -> bool:
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
            if group != freezing.FROZEN:
                squares[self._head_of(group)] += jnp.sum(x * x)
        return jnp.sqrt(jnp.stack(squares))

    def _head_of(self, group: str) -> int:
        return self.heads.index(owner(group, self.heads) or self.heads[-1])
