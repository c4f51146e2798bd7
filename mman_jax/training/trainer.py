"""The paper's training: towers separately, then the fusion on frozen towers, for all seeds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from mman_jax.models.networks import FUSION, Network
from mman_jax.training import freezing, parallel
from mman_jax.training.stage import ROWS, Record, Stage, State, batch_rows, head_names
from mman_jax.types import UNSCORED, Batch

TOWERS = "towers"


class Snapshot(NamedTuple):
    """Where training stands after an epoch: all that is needed to go on from there.

    Attributes:
        stage: name of the stage.
        state: of that stage, leading axis S.
        history: of that stage, an epoch a leading entry: `Record` of [E, S, T] arrays.
        finished: what the stages before gave, by name.
    """

    stage: str
    state: State
    history: Record
    finished: Mapping[str, "Outcome"]


class Outcome(NamedTuple):
    """What a stage gave. T counts its heads.

    Attributes:
        best_epoch: [S, T] int32.
        valid: [S, T, C, C] int32, validation counts at the best epoch.
        test: [S, T, C, C] int32, test counts at the best epoch.
        oracle: [S, T] float32, highest test accuracy of any epoch.
        history: `Record` of [E, S, T] arrays.
    """

    best_epoch: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    oracle: np.ndarray
    history: Record


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Trains a network as a config says.

    Attributes:
        network: towers and fusion.
        settings: the config's `train`.
        parts: rows of `train`, `valid` and `test`, each with one empty row at its end.
        classes: C.
        mesh: devices as [seed shards, row shards].
        parallel: `jit` or `pmap`.
    """

    network: Network
    settings: Mapping[str, Any]
    parts: Mapping[str, Batch]
    classes: int
    mesh: Mesh
    parallel: str = "jit"

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return (TOWERS,) if self.network.fusion is None else (TOWERS, FUSION)

    def epochs(self, stage: str) -> int:
        """The most epochs that a stage may take."""
        return min(self.settings["max_epochs"], self.settings[stage]["epochs"])

    def init(self, seed: jax.Array) -> Any:
        """One seed's parameters before training."""
        features = {m: x[:1, :1] for m, x in self.parts["train"].features.items()}
        reset = jnp.ones((1, 1), bool)
        return self.network.init(jax.random.key(seed), features, reset)["params"]

    def stage(self, name: str) -> Stage:
        """The definition of a stage, from the config."""
        settings = self.settings[name]
        shapes = jax.eval_shape(self.init, jnp.uint32(0))
        groups = freezing.labels(shapes, settings["rules"])
        transform = optax.chain(
            optax.clip_by_global_norm(settings["clip"]),
            optax.adamw(settings["learning_rate"], weight_decay=settings["weight_decay"]),
        )
        train = self.parts["train"]
        row_shards = self.mesh.shape[ROWS]
        return Stage(
            name=name,
            network=self.network,
            method=self._method(name, groups),
            heads=head_names(self.network, name),
            groups=groups,
            optimizer=freezing.freeze(transform, groups),
            class_weights=self._class_weights(),
            batch_rows=batch_rows(
                len(train.mask) - 1, int(train.reset.sum()), self.settings["batch"], row_shards
            ),
            patience=settings["patience"],
            select=self.settings["select"],
            row_shards=row_shards,
        )

    def run(self, seeds: Sequence[int], start: Snapshot | None = None) -> Iterator[Snapshot]:
        """Yields a snapshot after every epoch; the last one of a stage has all heads stopped, or
        the last epoch done.

        A yielded state lives on the devices and is overwritten by the next epoch: copy what is to
        be kept.

        Args:
            seeds: S seeds.
            start: a snapshot to go on from; None starts afresh.
        """
        shared = parallel.place(dict(self.parts), self.mesh, by_seed=False)
        finished = dict(start.finished) if start else {}
        params = None
        for name in self.stages[self.stages.index(start.stage) if start else 0 :]:
            stage = self.stage(name)
            epoch = parallel.distribute(stage.epoch, self.mesh, self.parallel)
            history = []
            if start and start.stage == name:
                state = parallel.place(start.state, self.mesh, by_seed=True)
                history = [jax.tree.map(lambda x, e=e: x[e], start.history)
                           for e in range(len(start.history.train_loss))]
            else:
                state = self._start(stage, np.asarray(seeds, np.uint32), params)
            own, rows = self._inputs(stage, state.params, shared)
            while len(history) < self.epochs(name) and not np.all(state.stopped):
                state, record = epoch(state, own, rows)
                history.append(jax.tree.map(np.asarray, record))
                yield Snapshot(name, state, _stack(history), finished)
            finished[name] = _outcome(state, _stack(history))
            params = state.best
        yield Snapshot(self.stages[-1], state, finished[self.stages[-1]].history, finished)

    def _start(self, stage: Stage, seeds: np.ndarray, params: Any) -> State:
        if params is None:
            params = jax.jit(jax.vmap(self.init))(seeds)
        state = jax.jit(jax.vmap(stage.start))(seeds, params)
        return parallel.place(state, self.mesh, by_seed=True)

    def _inputs(self, stage: Stage, params: Any, shared: Mapping[str, Batch]):
        """What a stage reads: the corpus's features, or what frozen towers say of them, once."""
        if stage.method != "fuse":
            return {}, shared
        towers = dataclasses.replace(
            stage, method="predict", heads=head_names(self.network, TOWERS)
        )

        def predict(params, _, shared):
            return {name: towers.predictions(params, part) for name, part in shared.items()}

        predict = parallel.distribute(predict, self.mesh, donate=False)
        return predict(params, {}, shared), {
            name: part._replace(features={}) for name, part in shared.items()
        }

    def _method(self, name: str, groups: Any) -> str:
        if name == TOWERS:
            return "predict"
        trained = set(jax.tree.leaves(groups)) - {freezing.FROZEN}
        return "fuse" if trained == {FUSION} else "__call__"

    def _class_weights(self) -> jax.Array:
        if not self.settings["class_weights"]:
            return jnp.ones(self.classes)
        labels = np.asarray(self.parts["train"].labels)
        counts = np.bincount(labels[labels != UNSCORED], minlength=self.classes)
        return jnp.asarray(counts.sum() / (self.classes * np.maximum(counts, 1)), jnp.float32)


def _stack(history: Sequence[Record]) -> Record:
    return jax.tree.map(lambda *x: np.stack(x), *history)


def _outcome(state: State, history: Record) -> Outcome:
    arrays = (state.best_epoch, state.valid, state.test, state.oracle)
    return Outcome(*(np.asarray(x) for x in arrays), history)
