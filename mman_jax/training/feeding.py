"""Data feeds of the devices: all rows resident, or batches streamed on demand."""

import concurrent.futures
import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mman_jax.errors import InputError
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.training import mesh as parallel
from mman_jax.training import processes, programs
from mman_jax.training.mesh import ROWS
from mman_jax.training.rows import empty_values, holdout, in_batches, widen, with_empty_row
from mman_jax.training.stage import StageTraining
from mman_jax.training.state import Record, State
from mman_jax.types import Array, Batch

Labels = Mapping[str, np.ndarray]
PerSeed = Mapping[str, Any]
Epochs = Callable[[State, PerSeed, Labels], tuple[State, Record]]
Predictions = Callable[[Any, PerSeed], dict[str, dict[str, Array]]]

_AHEAD = 2
"""The number of batches read ahead while the devices process earlier ones."""


class Resident:
    """Keeps all rows on the devices; an epoch is one compiled call."""

    def __init__(self, rows: Mapping[str, Batch], mesh: Mesh, way: str = "jit"):
        """Places the rows on the devices; the arguments are those of `make_feed`."""
        self.mesh, self.way = mesh, way
        self.put(rows)

    def put(self, rows: Mapping[str, Batch]) -> None:
        """Replaces the rows; with equal shapes, compiled programs are reused."""
        parts = {"train": rows["train"], "holdout": holdout(rows["valid"], rows["test"])}
        self._rows = self._place(parts)

    def release(self) -> None:
        """Frees the rows on the devices; call `put` before reading again."""
        self._rows = {}

    def epochs(self, stage: StageTraining, count: int = 1) -> Epochs:
        """Returns a function that runs `count` epochs of a stage for all seeds.

        It takes a state, features of each seed by part (see `StageTraining.epoch`) and the labels
        [R + 1, U, ...] of `train`, `valid` and `test`; its records are [S, count, T].
        """
        compiled = programs.epochs(stage, count, self.mesh, self.way)
        return lambda state, per_seed, labels: compiled(state, per_seed, self.labelled(labels))

    @contextlib.contextmanager
    def compiling(self, stage: StageTraining, state: State, labels: Labels) -> Iterator[None]:
        """Compiles an epoch of a stage in another thread while the context is active.

        `state` has the shapes and the layout of its state; labels are those of `epochs`.
        """

        @in_standard_numbers  # JAX's settings are per thread
        def compile_epoch():
            epoch = programs.epochs(stage, 1, self.mesh, self.way)
            epoch.lower(state, {}, self.labelled(labels)).compile()

        context = contextvars.copy_context()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            done = executor.submit(context.run, compile_epoch)
            yield
            done.result()

    def predictions(self, stage: StageTraining, holdout_only: bool = False) -> Predictions:
        """Returns a function that maps parameters and each seed's features by part to predictions.

        Predictions are [S, R + 1, U, C] by part (`train` and `holdout`, or `holdout` only) and by
        head.
        """
        compiled = programs.predictions(stage, self.mesh)

        def predict(params, per_seed):
            parts = ["holdout"] if holdout_only else list(self._rows)
            per_seed = {part: per_seed[part] for part in parts if part in per_seed}
            return compiled(params, per_seed, {part: self._rows[part] for part in parts})

        return predict

    def labelled(self, labels: Labels) -> dict[str, Batch]:
        """Returns the rows of `train` and `holdout` with a task's labels."""
        length = self._rows["holdout"].labels.shape[1]
        valid, test = (widen(labels[part], length) for part in ("valid", "test"))
        placed = self._place(
            {"train": labels["train"], "holdout": np.concatenate([valid[:-1], test])}
        )
        return {name: part._replace(labels=placed[name]) for name, part in self._rows.items()}

    def _place(self, tree: Any) -> Any:
        tree = jax.tree.map(np.asarray, tree)
        return parallel.place(tree, self.mesh, by_seed=False)


class Streamed:
    """Streams batches to the devices; each process reads the rows of its own devices only.

    All seeds see the rows in the same order, so that each row is read once for all of them.
    """

    def __init__(self, rows: Mapping[str, Batch], mesh: Mesh):
        """Stores the arguments, which are those of `make_feed`; reads nothing yet."""
        self.mesh, self.rows = mesh, rows

    def put(self, rows: Mapping[str, Batch]) -> None:
        """Replaces the rows."""
        self.rows = rows

    def release(self) -> None:
        """Does nothing, because no rows are on the devices."""

    def epochs(self, stage: StageTraining, count: int = 1) -> Epochs:
        """Returns a function like that of `Resident.epochs`; a step is one compiled call.

        It runs one epoch; the features of all seeds are the same.
        """
        compiled, train = programs.streaming(stage, self.mesh), self.train(stage)

        def epoch(state, per_seed, labels):
            reference = stage.objective.reference(labels["train"])
            state, loss = train(state, labels)
            scores, params = [], state.params
            if stage.averaging.decay:
                params = compiled.averaged(state, {}, ())
            for part in ("valid", "test"):
                for batch in self._batches(part, stage, labels, np.arange):
                    flags = np.full((len(batch.mask), 1), part == "valid")
                    is_valid = self._sharded(flags.shape, flags.__getitem__)
                    scores.append(compiled.score(params, {}, (batch, is_valid, reference)))
                    scores[-1][0].block_until_ready()
            total = jax.tree.map(lambda *x: sum(x[1:], start=x[0]), *scores)
            state, record = compiled.finish(state, (loss, total), ())
            return state, jax.tree.map(lambda x: x[:, None], record)

        return epoch

    def compiling(
        self, stage: StageTraining, state: State, labels: Labels
    ) -> contextlib.AbstractContextManager:
        """Returns a context that does nothing, since steps are compiled when first called."""
        return contextlib.nullcontext()

    def train(self, stage: StageTraining) -> Callable[[State, Labels], tuple[State, Array]]:
        """Returns a function that takes the steps of an epoch; losses are [S, T]."""
        step = programs.streaming(stage, self.mesh).step

        def train(state, labels):
            reference = stage.objective.reference(labels["train"])
            number = int(processes.gather(state.epoch)[0])
            random = np.random.default_rng([number, stage.key])
            filled = np.asarray(self.rows["train"].mask)[:-1].any(1)

            def shuffle(rows):
                order = random.permutation(rows)
                return order[filled[order]]

            losses = []
            for index, batch in enumerate(self._batches("train", stage, labels, shuffle)):
                state, loss = step(state, {}, (batch, np.int32(index), reference))
                losses.append(loss)
                if index >= _AHEAD:
                    losses[index - _AHEAD].block_until_ready()
            return state, sum(losses) / len(losses)

        return train

    def predictions(self, stage: StageTraining, holdout_only: bool = False) -> Predictions:
        """Returns a function like that of `Resident.predictions`, gathered from batches."""
        outputs = programs.streaming(stage, self.mesh).outputs

        def predict(params, per_seed):
            labels = {part: batch.labels for part, batch in self.rows.items()}
            gathered = {}
            for part in ("valid", "test") if holdout_only else ("train", "valid", "test"):
                rows = self.rows[part]
                batches = self._batches(part, stage, labels, np.arange)
                parts = [processes.gather(outputs(params, {}, (batch,))) for batch in batches]
                # A batch may end in padding rows that make it divisible by the devices.
                count, size = len(rows.mask) - 1, stage.batch_rows
                gathered[part] = {
                    name: np.concatenate([x[name][:, :size] for x in parts], axis=1)[:, :count]
                    for name in (parts[0] if parts else ())
                }
            joined = {
                head: np.concatenate([x, gathered["test"].get(head, x[:, :0])], axis=1)
                for head, x in gathered.pop("valid").items()
            }
            del gathered["test"]
            predicted = jax.tree.map(with_empty_row, gathered | {"holdout": joined})
            return parallel.place(predicted, self.mesh, by_seed=True)

        return predict

    def _batches(
        self, part: str, stage: StageTraining, labels: Labels, order: Callable[[int], Array]
    ):
        rows = self.rows[part]
        # Validation and test share one shape, so that one compiled function scores both.
        parts = ("train",) if part == "train" else ("valid", "test")
        length = max(self.rows[name].mask.shape[1] for name in parts)
        count = len(rows.mask) - 1
        shards = self.mesh.shape[ROWS]
        size = -(-stage.batch_rows // shards) * shards
        batches = np.asarray(in_batches(order(count), stage.batch_rows, count))
        batches = np.pad(batches, ((0, 0), (0, size - batches.shape[1])), constant_values=count)
        rows = rows._replace(labels=labels[part])
        for index in batches:
            yield jax.tree.map(
                lambda x, empty, index=index: self._read(x, index, length, empty),
                rows,
                empty_values(rows),
            )

    def _read(self, source: Any, rows: np.ndarray, length: int, empty: Any) -> Array:
        def read(index):
            return widen(source[rows[index[0]]], length, empty)

        return self._sharded((len(rows), length, *source.shape[2:]), read)

    def _sharded(self, shape, read) -> Array:
        # Reads only the rows of this process's devices.
        sharding = NamedSharding(self.mesh, PartitionSpec(ROWS))
        return jax.make_array_from_callback(shape, sharding, read)


def make_feed(
    rows: Mapping[str, Batch], mesh: Mesh, way: str, stream: bool | None
) -> Resident | Streamed:
    """Returns a feed of the rows.

    Args:
        rows: rows of `train`, `valid` and `test`, each with one empty row at the end.
        mesh: devices as [seed shards, row shards].
        way: `jit` or `pmap`.
        stream: whether batches are streamed; None: if the rows exceed half of a device's memory.

    Raises:
        InputError: rows would be streamed with `pmap`.
    """
    if stream is None:
        features = [x for part in rows.values() for x in part.features.values()]
        stream = not parallel.fits(sum(x.nbytes for x in features), mesh)
    if stream and way == "pmap":
        raise InputError("parallel", "'pmap' with rows streamed", "'jit'")
    return Streamed(rows, mesh) if stream else Resident(rows, mesh, way)
