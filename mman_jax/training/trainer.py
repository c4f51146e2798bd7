"""The paper's training: towers separately, then the fusion on frozen towers, for all seeds."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from mman_jax.errors import InputError
from mman_jax.models.networks import FUSION, Network
from mman_jax.training import freezing, processes
from mman_jax.training import parallel as distribution
from mman_jax.training.feeding import Epoch, Resident, Streamed
from mman_jax.training.stage import ROWS, Stage, batch_rows, head_names
from mman_jax.training.state import Record, State
from mman_jax.types import Batch

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


class Trainer:
    """Trains a network as a config says, on one corpus; a task's labels come with each run."""

    def __init__(
        self,
        network: Network,
        settings: Mapping[str, Any],
        rows: Mapping[str, Batch],
        classes: int,
        mesh: Mesh,
        parallel: str = "jit",
        stream: bool | None = None,
    ):
        """Places the corpus on the devices, if it is not to be streamed; compiles nothing yet.

        Args:
            network: towers and fusion.
            settings: the config's `train`.
            rows: of `train`, `valid` and `test`, each with one empty row at its end.
            classes: C.
            mesh: devices as [seed shards, row shards].
            parallel: `jit` or `pmap`.
            stream: whether the devices get a batch at a time, and each process reads the rows of
                its own devices alone; None: where all rows would take over half of a device.

        Raises:
            InputError: if rows are to be streamed by `pmap`.
        """
        self.network = network
        self.settings = settings
        self.classes = classes
        self.mesh = mesh
        self.parallel = parallel
        self._host_rows = dict(rows)
        if stream is None:
            features = [x for part in rows.values() for x in part.features.values()]
            stream = not distribution.fits(sum(x.nbytes for x in features), mesh)
        if stream and parallel == "pmap":
            raise InputError("config.parallel", "'pmap' with rows streamed", "'jit'")
        self._feed = Streamed(rows, mesh) if stream else Resident(rows, mesh, parallel)
        self._compiled: dict[str, Any] = {}

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return (TOWERS,) if self.network.fusion is None else (TOWERS, FUSION)

    def epochs(self, stage: str) -> int:
        """The most epochs that a stage may take."""
        return min(self.settings["max_epochs"], self.settings[stage]["epochs"])

    def init(self, seed: jax.Array) -> Any:
        """One seed's parameters before training."""
        train = self._host_rows["train"].features
        features = {m: jnp.zeros((1, 1, x.shape[-1])) for m, x in train.items()}
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
        train = self._host_rows["train"]
        row_shards = self.mesh.shape[ROWS]
        return Stage(
            name=name,
            network=self.network,
            method=self._method(name, groups),
            heads=head_names(self.network, name),
            groups=groups,
            optimizer=freezing.freeze(transform, groups),
            classes=self.classes,
            weigh_classes=self.settings["class_weights"],
            batch_rows=batch_rows(
                len(train.mask) - 1, int(train.reset.sum()), self.settings["batch"]
            ),
            patience=settings["patience"],
            select=self.settings["select"],
            valid_rows=len(self._host_rows["valid"].mask) - 1,
            row_shards=row_shards,
        )

    def run(
        self,
        labels: Mapping[str, np.ndarray],
        seeds: Sequence[int],
        start: Snapshot | None = None,
    ) -> Iterator[Snapshot]:
        """Yields a snapshot after every epoch, and a last one with every stage finished.

        A yielded state lives on the devices and is overwritten by the next epoch: copy what is to
        be kept. Among several processes each runs this, epoch by epoch, and holds a part of the
        state; the rest of a snapshot is whole on all of them (see `processes.whole`).

        Args:
            labels: [R + 1, U] int32 of each part.
            seeds: S seeds.
            start: a snapshot to go on from; None starts afresh.
        """
        finished = dict(start.finished) if start else {}
        params = None
        for name in self.stages[self.stages.index(start.stage) if start else 0 :]:
            stage, epoch, predict = self.compile(name)
            if start and start.stage == name:
                state = distribution.place(start.state, self.mesh, by_seed=True)
                history = _unstack(start.history)
            else:
                state, history = self.start(name, seeds, params), []
            # What is frozen is computed once: the stage reads the towers' answers.
            own = predict(state.params) if stage.method == "fuse" else {}
            while len(history) < self.epochs(name) and not np.all(processes.whole(state.stopped)):
                state, record = epoch(state, own, labels)
                history.append(processes.whole(record))
                yield Snapshot(name, state, _stack(history), finished)
            finished[name] = _outcome(state, _stack(history))
            params = state.best
        yield Snapshot(name, state, finished[name].history, finished)

    def start(self, name: str, seeds: Sequence[int], params: Any = None) -> State:
        """A stage's state before its first epoch, leading axis S.

        Args:
            name: of the stage.
            seeds: S seeds.
            params: to go on from, leading axis S; None draws them.
        """
        sharding = distribution.layout(self.mesh, by_seed=True)
        seeds = np.asarray(seeds, np.uint32)
        if params is None:
            params = jax.jit(jax.vmap(self.init), out_shardings=sharding)(seeds)
        return jax.jit(jax.vmap(self.stage(name).start), out_shardings=sharding)(seeds, params)

    def template(self, stage: str, seeds: int) -> State:
        """The shapes of a stage's state with a leading axis S, to read a checkpoint by."""
        names = jax.ShapeDtypeStruct((seeds,), jnp.uint32)
        return jax.eval_shape(
            lambda s: jax.vmap(self.stage(stage).start)(s, jax.vmap(self.init)(s)), names
        )

    def compile(self, name: str) -> tuple[Stage, Epoch, Callable[[Any], Any]]:
        """A stage, its epoch for all seeds, and the towers' predictions (see `feeding`)."""
        if name not in self._compiled:
            stage = self.stage(name)
            towers = dataclasses.replace(
                stage, method="predict", heads=head_names(self.network, TOWERS)
            )
            feed = self._feed
            if stage.method == "fuse":
                plain = {p: rows._replace(features={}) for p, rows in self._host_rows.items()}
                feed = Resident(plain, self.mesh, self.parallel)
            self._compiled[name] = (stage, feed.epoch(stage), self._feed.predictions(towers))
        return self._compiled[name]

    def _method(self, name: str, groups: Any) -> str:
        if name == TOWERS:
            return "predict"
        trained = set(jax.tree.leaves(groups)) - {freezing.FROZEN}
        return "fuse" if trained == {FUSION} else "__call__"


def _stack(history: Sequence[Record]) -> Record:
    return jax.tree.map(lambda *x: np.stack(x), *history)


def _unstack(history: Record) -> list[Record]:
    epochs = len(history.train_loss)
    return [jax.tree.map(lambda x, e=epoch: x[e], history) for epoch in range(epochs)]


def _outcome(state: State, history: Record) -> Outcome:
    arrays = (state.best_epoch, state.valid, state.test, state.oracle)
    return Outcome(*processes.whole(arrays), history)
