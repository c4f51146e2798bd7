"""How rows reach the devices: all of them once, or a batch at a time when it is needed."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mman_jax.training import mesh as parallel
from mman_jax.training import processes, steps
from mman_jax.training.held import hold_out, widen, with_empty_row
from mman_jax.training.mesh import ROWS
from mman_jax.training.rows import in_batches
from mman_jax.training.stage import StageTraining
from mman_jax.training.state import Record, State
from mman_jax.types import Array, Batch, unscored

Labels = Mapping[str, np.ndarray]
Own = Mapping[str, Any]
Epochs = Callable[[State, Own, Labels], tuple[State, Record]]
Predictions = Callable[[Any, Own], dict[str, dict[str, Array]]]

_AHEAD = 2
"""Batches read from the disk while the devices are busy with earlier ones."""


class Resident:
    """Every row lies on the devices, and an epoch is one compiled call."""

    def __init__(self, rows: Mapping[str, Batch], mesh: Mesh, way: str = "jit"):
        """Places the rows.

        Args:
            rows: of `train`, `valid` and `test`, each with one empty row at its end.
            mesh: devices as [seed shards, row shards].
            way: `jit` or `pmap`.
        """
        self.mesh, self.way = mesh, way
        self.put(rows)

    def put(self, rows: Mapping[str, Batch]) -> None:
        """Places other rows in place of these; of equal shapes, what was compiled serves them."""
        held = hold_out(rows["valid"], rows["test"])
        self._rows = self._place({"train": rows["train"], "held": held})

    def release(self) -> None:
        """Frees what the rows take on the devices; others are to be put before anything is read."""
        self._rows = {}

    def epochs(self, stage: StageTraining, count: int = 1) -> Epochs:
        """So many epochs of a stage for all seeds, in one call.

        It takes a state, the seeds' own features by part (see `StageTraining.epoch`) and the labels
        [R + 1, U, ...] of `train`, `valid` and `test`; its records are [S, count, T].
        """
        compiled = steps.epochs(stage, count, self.mesh, self.way)
        return lambda state, own, labels: compiled(state, own, self.labelled(labels))

    def compile(self, stage: StageTraining, state: State, labels: Labels) -> None:
        """Compiles an epoch of a stage that reads the corpus: a call of `epochs` need not, then.

        Args:
            stage: whose epoch.
            state: its shapes, as they lie on the mesh.
            labels: as of `epochs`.
        """
        steps.epochs(stage, 1, self.mesh, self.way).lower(
            state, {}, self.labelled(labels)
        ).compile()

    def predictions(self, stage: StageTraining, held_alone: bool = False) -> Predictions:
        """Logits [S, R + 1, U, C] by part (`train` and `held`, or `held` alone) and head, from
        parameters and the seeds' own features by part."""
        compiled = steps.predictions(stage, self.mesh)

        def predict(params, own):
            parts = ["held"] if held_alone else list(self._rows)
            own = {part: own[part] for part in parts if part in own}
            return compiled(params, own, {part: self._rows[part] for part in parts})

        return predict

    def labelled(self, labels: Labels) -> dict[str, Batch]:
        """The rows of `train` and `held` with a task's labels."""
        length = self._rows["held"].labels.shape[1]
        held = [widen(labels[part], length) for part in ("valid", "test")]
        classes = {"train": labels["train"], "held": np.concatenate([held[0][:-1], held[1]])}
        classes = self._place(classes)
        return {name: part._replace(labels=classes[name]) for name, part in self._rows.items()}

    def _place(self, tree: Any) -> Any:
        tree = jax.tree.map(np.asarray, tree)
        return parallel.place(tree, self.mesh, by_seed=False)


class Streamed:
    """The devices hold a batch; each process reads the rows of its own devices, when needed.

    All seeds see the rows in one order, that of the epoch: each row is read once for all of them.
    """

    def __init__(self, rows: Mapping[str, Batch], mesh: Mesh):
        """Reads nothing yet.

        Args:
            rows: of `train`, `valid` and `test`, each with one empty row at its end.
            mesh: devices as [seed shards, row shards].
        """
        self.mesh, self.rows = mesh, rows
        self._shards = mesh.shape[ROWS]

    def put(self, rows: Mapping[str, Batch]) -> None:
        """From now on reads other rows."""
        self.rows = rows

    def release(self) -> None:
        """See `Resident.release`: the devices hold none."""

    def epochs(self, stage: StageTraining, count: int = 1) -> Epochs:
        """As `Resident.epochs`, of one epoch; a step is one compiled call.

        Raises:
            ValueError: of more than one epoch; and when called, of features of a seed's own.
        """
        if count != 1:
            raise ValueError(f"{count} epochs in a call; rows are streamed for one")
        train = self.train(stage)
        score, finish = steps.score(stage, self.mesh), steps.finish(stage, self.mesh)
        validated = steps.validated(stage, self.mesh)

        def epoch(state, own, labels):
            if own:
                raise ValueError("features of a seed's own lie on its device: use Resident")
            reference = stage.objective.reference(labels["train"])
            state, loss = train(state, labels)
            scores, params = [], validated(state, {}, ()) if stage.decay else state.params
            for part in ("valid", "test"):
                for batch in self._batches(part, stage, labels, np.arange):
                    flags = np.full((len(batch.mask), 1), part == "valid")
                    is_valid = self._sharded(flags.shape, flags.__getitem__)
                    scores.append(score(params, {}, (batch, is_valid, reference)))
                    scores[-1][0].block_until_ready()
            total = jax.tree.map(lambda *x: sum(x[1:], start=x[0]), *scores)
            state, record = finish(state, (loss, total), ())
            return state, jax.tree.map(lambda x: x[:, None], record)

        return epoch

    def train(self, stage: StageTraining) -> Callable[[State, Labels], tuple[State, Array]]:
        """The training half of an epoch: the state after it, and the heads' losses [S, T]."""
        step = steps.step(stage, self.mesh)

        def train(state, labels):
            reference = stage.objective.reference(labels["train"])
            number = int(processes.whole(state.epoch)[0])
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

    def predictions(self, stage: StageTraining, held_alone: bool = False) -> Predictions:
        """As `Resident.predictions`, gathered from batches.

        Raises:
            ValueError: when called, of features of a seed's own.
        """
        answer = steps.outputs(stage, self.mesh)

        def predict(params):
            nothing = {part: batch.labels for part, batch in self.rows.items()}
            found = {}
            for part in ("valid", "test") if held_alone else ("train", "valid", "test"):
                rows = self.rows[part]
                batches = self._batches(part, stage, nothing, np.arange)
                parts = [processes.whole(answer(params, {}, batch)) for batch in batches]
                # A batch may end in rows that only make it divisible by the devices.
                count, size = len(rows.mask) - 1, stage.batch_rows
                found[part] = {
                    name: np.concatenate([x[name][:, :size] for x in parts], axis=1)[:, :count]
                    for name in (parts[0] if parts else ())
                }
            held = {
                head: np.concatenate([x, found["test"].get(head, x[:, :0])], axis=1)
                for head, x in found.pop("valid").items()
            }
            del found["test"]
            return jax.tree.map(with_empty_row, found | {"held": held})

        def whole(params, own):
            if own:
                raise ValueError("features of a seed's own lie on its device: use Resident")
            return parallel.place(predict(params), self.mesh, by_seed=True)

        return whole

    def _batches(
        self, part: str, stage: StageTraining, labels: Labels, order: Callable[[int], Array]
    ):
        rows = self.rows[part]
        length = self._length(part)
        count = len(rows.mask) - 1
        size = -(-stage.batch_rows // self._shards) * self._shards
        batches = np.asarray(in_batches(order(count), stage.batch_rows, count))
        batches = np.pad(batches, ((0, 0), (0, size - batches.shape[1])), constant_values=count)
        present = dict.fromkeys(rows.present, False)
        unlabelled = unscored(labels[part].dtype)
        fill = Batch(dict.fromkeys(rows.features, 0), unlabelled, False, True, present)
        for index in batches:
            yield jax.tree.map(
                lambda x, empty, index=index: self._read(x, index, length, empty),
                rows._replace(labels=labels[part]),
                fill,
            )

    def _length(self, part: str) -> int:
        # Validation and test share one shape: one compiled function scores both.
        parts = ("train",) if part == "train" else ("valid", "test")
        return max(self.rows[name].mask.shape[1] for name in parts)

    def _read(self, source: Any, rows: np.ndarray, length: int, empty: Any) -> Array:
        def read(index):
            return widen(source[rows[index[0]]], length, empty)

        return self._sharded((len(rows), length, *source.shape[2:]), read)

    def _sharded(self, shape, read) -> Array:
        # Asks only for what lies on this process's own devices.
        sharding = NamedSharding(self.mesh, PartitionSpec(ROWS))
        return jax.make_array_from_callback(shape, sharding, read)
