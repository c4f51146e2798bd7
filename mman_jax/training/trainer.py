"""The paper's training: towers separately, then the fusion on frozen towers, for all seeds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from mman_jax.errors import InputError
from mman_jax.systems.mman import FUSION, Network
from mman_jax.training import freezing, processes
from mman_jax.training import mesh as distribution
from mman_jax.training.feeding import Epochs, Predictions, Resident, Streamed
from mman_jax.training.outcome import Outcome, Snapshot, by_epoch, join, outcome, stack, unstack
from mman_jax.training.rows import batch_rows
from mman_jax.training.stage import ROWS, Stage, head_names
from mman_jax.training.state import State
from mman_jax.types import Batch

TOWERS = "towers"
_FUSION_EPOCHS = 10


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
        self._platform = mesh.devices.flat[0].platform
        self._plain: Resident | None = None
        self._answer: Predictions | None = None
        self._compiled: dict[str, Any] = {}

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return (TOWERS,) if self.network.fusion is None else (TOWERS, FUSION)

    def epochs(self, stage: str) -> int:
        """The most epochs that a stage may take."""
        return min(self.settings["max_epochs"], self.settings[stage]["epochs"])

    def init(self, seed: jax.Array) -> Any:
        """One seed's parameters before training.

        Args:
            seed: a scalar, uint32.
        """
        train = self._host_rows["train"].features
        features = {m: jnp.zeros((1, 1, x.shape[-1])) for m, x in train.items()}
        reset = jnp.ones((1, 1), bool)
        return self.network.init(jax.random.key(seed), features, reset)["params"]

    def stage(self, name: str) -> Stage:
        """The definition of a stage, from the config."""
        settings = self.settings[name]
        shapes = jax.eval_shape(self.init, jnp.uint32(0))
        groups = freezing.labels(shapes, settings["rules"])

        def transform(group):
            rates, name = settings["learning_rate"], group.removeprefix("towers_")
            if group == FUSION:
                name = self.network.fusion.kind
            return optax.chain(
                optax.clip_by_global_norm(settings["clip"]),
                optax.adamw(
                    rates.get(name, rates["default"]), weight_decay=settings["weight_decay"]
                ),
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
        paces: Sequence[float] | None = None,
    ) -> Iterator[Snapshot]:
        """Yields a snapshot after every epoch, and a last one with every stage finished.

        A yielded state lives on the devices and is overwritten by the next epoch: copy what is to
        be kept. Among several processes each runs this, epoch by epoch, and holds a part of the
        state; the rest of a snapshot is whole on all of them (see `processes.whole`).

        Args:
            labels: [R + 1, U] int32 of each part.
            seeds: S seeds.
            start: a snapshot to go on from; None starts afresh.
            paces: what to multiply each seed's learning rates by; None: by 1.
        """
        finished = dict(start.finished) if start else {}
        params = None
        for name in self.stages[self.stages.index(start.stage) if start else 0 :]:
            stage, epochs, predict = self.compile(name)
            if start and start.stage == name:
                state = distribution.place(start.state, self.mesh, by_seed=True)
                history = unstack(start.history)
            else:
                state, history = self.start(name, seeds, params, paces), []
            # What is frozen is computed once: the stage reads the towers' answers.
            own = predict(state.params, {}) if stage.method == "fuse" else {}
            while len(history) < self.epochs(name) and not np.all(processes.whole(state.stopped)):
                state, records = epochs(state, own, labels)
                history.extend(by_epoch(processes.whole(records)))
                yield Snapshot(name, state, stack(history), finished)
            finished[name] = outcome(state, stack(history))
            params = state.best
        yield Snapshot(name, state, finished[name].history, finished)

    def answers(self, params: Any) -> dict[str, np.ndarray]:
        """The system's logits [S, R + 1, U, C] on the rows of `valid` and `test`.

        Args:
            params: trained, leading axis S.
        """
        stage, _, predict = self.compile(self.stages[-1])
        own = predict(params, {}) if stage.method == "fuse" else {}
        if self._answer is None:
            self._answer = self._feed_of(stage).predictions(stage)
        logits = self._answer(params, own)["held"][self.network.head]
        logits = processes.whole(logits)
        lengths = {part: self._host_rows[part].mask.shape[1] for part in ("valid", "test")}
        valid, test = logits[:, : stage.valid_rows], logits[:, stage.valid_rows :]
        empty = np.zeros_like(valid[:, :1])
        valid = np.concatenate([valid, empty], axis=1)
        return {"valid": valid[:, :, : lengths["valid"]], "test": test[:, :, : lengths["test"]]}

    def join(
        self,
        params: Any,
        towers: Mapping[str, Outcome],
        seeds: Sequence[int],
        paces: Sequence[float] | None = None,
    ) -> Snapshot:
        """The snapshot before the fusion's first epoch, from towers that were trained elsewhere.

        Args:
            params: of the towers, `towers_<name>` each, leading axis S.
            towers: what the training of each gave (T is 1).
            seeds: S seeds.
            paces: what to multiply each seed's learning rates by; None: by 1.
        """
        joined = join([towers[name] for name in self.network.towers])
        nothing = {name: jnp.zeros((1, 1, self.classes)) for name in self.network.towers}

        def init(seed):
            reset = jnp.ones((1, 1), bool)
            return self.network.init(jax.random.key(seed), nothing, reset, method="fuse")["params"]

        fusion = jax.jit(jax.vmap(init))(np.asarray(seeds, np.uint32))
        state = self.start(FUSION, seeds, {**params, **fusion}, paces)
        empty = jax.tree.map(lambda x: x[:0, :, :1], joined.history)
        return Snapshot(FUSION, state, empty, {TOWERS: joined})

    def start(
        self,
        name: str,
        seeds: Sequence[int],
        params: Any = None,
        paces: Sequence[float] | None = None,
    ) -> State:
        """A stage's state before its first epoch, leading axis S.

        Args:
            name: of the stage.
            seeds: S seeds.
            params: to go on from, leading axis S; None draws them.
            paces: what to multiply each seed's learning rates by; None: by 1.
        """
        sharding = distribution.layout(self.mesh, by_seed=True)
        seeds = np.asarray(seeds, np.uint32)
        if params is None:
            # Runs once: compiling it well would take longer than it runs.
            options = {"xla_backend_optimization_level": 0} if self._platform == "cpu" else {}
            draw = jax.jit(jax.vmap(self.init), out_shardings=sharding, compiler_options=options)
            params = draw(seeds)
        paces = np.ones(len(seeds), np.float32) if paces is None else np.asarray(paces, np.float32)
        begin = jax.jit(jax.vmap(self.stage(name).start), out_shardings=sharding)
        return begin(seeds, paces, params)

    def template(self, stage: str, seeds: int) -> State:
        """The shapes of a stage's state with a leading axis S, to read a checkpoint by."""
        names = jax.ShapeDtypeStruct((seeds,), jnp.uint32)
        return jax.eval_shape(
            lambda s: jax.vmap(self.stage(stage).start)(s, s, jax.vmap(self.init)(s)), names
        )

    def compile(self, name: str) -> tuple[Stage, Epochs, Predictions]:
        """A stage, its epochs for all seeds, and the towers' predictions (see `feeding`)."""
        if name not in self._compiled:
            stage = self.stage(name)
            towers = dataclasses.replace(
                stage, method="predict", heads=head_names(self.network, TOWERS)
            )
            epochs = self._feed_of(stage).epochs(stage, self._epochs_a_call(stage))
            self._compiled[name] = (stage, epochs, self._feed.predictions(towers))
        return self._compiled[name]

    def _feed_of(self, stage: Stage) -> Resident | Streamed:
        if stage.method != "fuse":
            return self._feed
        if self._plain is None:
            plain = {
                p: rows._replace(features={}, present={}) for p, rows in self._host_rows.items()
            }
            self._plain = Resident(plain, self.mesh, self.parallel)
        return self._plain

    def _epochs_a_call(self, stage: Stage) -> int:
        # A fusion's epoch takes less time than the call: several at once.
        epochs = self.epochs(stage.name)
        most = _FUSION_EPOCHS if stage.method == "fuse" else 1
        return max(n for n in range(1, most + 1) if epochs % n == 0)

    def _method(self, name: str, groups: Any) -> str:
        if name == TOWERS:
            return "predict"
        trained = set(jax.tree.leaves(groups)) - {freezing.FROZEN}
        return "fuse" if trained == {FUSION} else "__call__"
