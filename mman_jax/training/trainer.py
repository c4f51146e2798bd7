"""Training of a system, stage by stage, for all seeds."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mman_jax.errors import InputError, within
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import System
from mman_jax.tasks import Classes, Task
from mman_jax.training import mesh as distribution
from mman_jax.training import optimizer, processes, programs
from mman_jax.training.feeding import Epochs, Predictions, Resident, Streamed, make_feed
from mman_jax.training.mesh import ROWS
from mman_jax.training.programs import inputs_are_frozen, out_of_fold
from mman_jax.training.rows import batch_rows, featureless, with_empty_row
from mman_jax.training.stage import StageTraining
from mman_jax.training.state import (
    Outcome,
    Selection,
    Snapshot,
    State,
    StopAt,
    by_epoch,
    no_stop,
    outcome,
    selected_loss,
    stack,
    unstack,
)
from mman_jax.types import Batch

Report = Callable[[Snapshot, int], None]

_EPOCHS_A_CALL = 10


class Trainer:
    """Trains a network on a corpus, according to settings; each run receives a task's labels."""

    resumes = True

    @in_standard_numbers
    def __init__(
        self,
        system: System,
        settings: Mapping[str, Any],
        rows: Mapping[str, Batch],
        classes: int,
        mesh: Mesh,
        parallel: str = "jit",
        stream: bool | None = None,
        conversations: int | None = None,
        task: Task | None = None,
        until: str | None = None,
    ):
        """Places the corpus on the devices, unless it is streamed; compiles nothing yet.

        Args:
            system: the network to train, which declares its stages.
            settings: the group `train` of a config (docs/settings.md): settings that all stages
                share and, by the name of each stage, a mapping of its settings. See, for example,
                `mman_jax.systems.mman.training()`.
            rows: rows of `train`, `valid` and `test`, each with one empty row at the end.
            classes: C, the number of classes or of targets.
            mesh: devices as [seed shards, row shards].
            parallel: `jit` or `pmap`.
            stream: whether the devices receive one batch at a time, and each process reads only the
                rows of its devices; None: if all rows exceed half of a device's memory.
            conversations: largest number of conversations of an epoch among several splits that
                share compiled programs and have rows of equal shapes; None: that of `rows`.
            task: the task; by default C classes.
            until: the last stage to train; by default the system's last stage.

        Raises:
            InputError: rows would be streamed with `pmap`, a stage has no settings, a loss of
                numbers is unknown, or such a loss is set for classes.
        """
        self.system = system
        self.settings = settings
        self.classes = classes
        self.mesh = mesh
        self.parallel = parallel
        self.objective = (task or Classes("", tuple(map(str, range(classes))))).objective(settings)
        self._conversations = conversations
        self._host_rows = dict(rows)
        self._feed = make_feed(rows, mesh, parallel, stream)
        self._plain: Resident | None = None
        self._answer: Predictions | None = None
        self._compiled: dict[str, Any] = {}
        stages = system.stages()
        count = [stage.name for stage in stages].index(until) + 1 if until else len(stages)
        self._stages = {stage.name: stage for stage in stages[:count]}
        for name in self._stages:
            if name not in settings:
                raise InputError(f"train.{name}", "no settings", "some for each stage")
        if len(set(map(_key, self._stages))) < len(self._stages):
            raise ValueError(f"names of stages have the same letters: {', '.join(self._stages)}")

    @in_standard_numbers
    def put(self, rows: Mapping[str, Batch]) -> None:
        """Replaces the rows by others of equal shapes; compiled programs are reused."""
        chex.assert_trees_all_equal_shapes(self._host_rows, dict(rows))
        self._host_rows = dict(rows)
        self._feed.put(rows)
        if self._plain is not None:
            self._plain.put(featureless(rows))

    def release(self) -> None:
        """Frees the rows on the devices; call `put` before training again."""
        self._feed.release()

    @property
    def streamed(self) -> bool:
        """Whether rows are streamed; all seeds then see them in the same order."""
        return isinstance(self._feed, Streamed)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self._stages)

    def heads(self, stage: str) -> tuple[str, ...]:
        """Returns the heads that a stage trains."""
        return self._stages[stage].heads

    def epochs(self, stage: str) -> int:
        """Returns the maximal number of epochs of a stage; 1 if it trains no parameter."""
        settings = self.settings[stage]
        groups = optimizer.labels(self.shapes, settings["rules"])
        trains = set(jax.tree.leaves(groups)) - {optimizer.FROZEN}
        return min(self.settings["max_epochs"], settings["epochs"] if trains else 1)

    def steps(self, stage: str) -> int:
        """Returns the number of optimizer steps in an epoch."""
        rows = int(self._host_rows["train"].mask.any(1).sum())
        return math.ceil(rows / self.stage(stage).batch_rows)

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Each modality's name and D, in order."""
        train = self._host_rows["train"].features
        return tuple((m, x.shape[-1]) for m, x in train.items())

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes and dtypes of one seed's parameters."""
        return programs.shapes(self.system, self.sizes)

    @property
    def parameters(self) -> int:
        """Number of parameters of one seed."""
        return sum(math.prod(x.shape) for x in jax.tree.leaves(self.shapes))

    def stage(self, name: str) -> StageTraining:
        """Builds the training of a stage from the settings."""
        stage, settings = self._stages[name], self.settings[name]
        groups = optimizer.labels(self.shapes, settings["rules"])
        train = self._host_rows["train"]
        conversations = self._conversations or int((train.reset & train.mask).sum())
        frozen = inputs_are_frozen(self.system, self.sizes, stage, groups)
        training = StageTraining(
            name=name,
            key=_key(name),
            system=self.system,
            method=stage.method if frozen or not stage.reads else "__call__",
            heads=stage.heads,
            groups=groups,
            settings=optimizer.plain(settings),
            objective=self.objective,
            batch_rows=batch_rows(len(train.mask) - 1, conversations, self.settings["batch"]),
            averaging=optimizer.Averaging(
                self.settings.get("average", 0.0), self.settings.get("average_warmup", False)
            ),
            selection=Selection(
                self.settings["select"], settings["patience"], self.settings.get("smoothing", 0.0)
            ),
            valid_rows=len(self._host_rows["valid"].mask) - 1,
            padded=self._conversations is not None,
            row_shards=self.mesh.shape[ROWS],
            from_start=settings.get("from_start", False),
            plateau=optimizer.plateau_of(settings, stage.heads),
        )
        _ = training.optimizer  # raises if it is unknown
        return training

    def check(self) -> None:
        """Raises an InputError if sizes or a stage's settings are invalid; compiles nothing."""
        _ = self.shapes
        for name in self.stages:
            with within(f"train.{name}"):
                self.stage(name)

    @in_standard_numbers
    def run(
        self,
        labels: Mapping[str, np.ndarray],
        seeds: Sequence[int],
        start: Snapshot | None = None,
        stop_at: Mapping[str, StopAt] | None = None,
        groups: np.ndarray | None = None,
        report: Report = lambda snapshot, epochs: None,
    ) -> Iterator[Snapshot]:
        """Yields a snapshot after every epoch, and a last one with every stage finished.

        A yielded state is on the devices and is overwritten by the next epoch, unless it is copied.
        With several processes, each one runs this method and has a part of the state; the rest of a
        snapshot is complete on all of them (see `processes.gather`).

        Args:
            labels: [R + 1, U] int32 of each part; for numbers and votes, [R + 1, U, C] float32.
            seeds: S seeds.
            start: a snapshot to resume from; by default, training starts from the beginning.
            stop_at: stopping points of each stage, for retraining; by default validation selects.
            groups: [R + 1, U] int, groups of training conversations, for the stages whose `answers`
                are `out_of_fold`; None: these learn from predictions of `training`.
            report: called after every epoch of the trainings for `out_of_fold`, with a snapshot
                whose stage describes it and with the number of epochs of that training.
        """
        finished = dict(start.finished) if start else {}
        params = None
        for name in self.stages[self.stages.index(start.stage) if start else 0 :]:
            if start and start.stage == name:
                state = distribution.place(start.state, self.mesh, by_seed=True)
                history = unstack(start.history)
            else:
                with self._compiling(name, len(seeds), labels):
                    state, history = self._start_next(name, seeds, params, finished, stop_at), []
            per_seed = self._inputs(name, state.params)
            answers = self.settings[name].get("answers")
            if per_seed and groups is not None and answers == "out_of_fold":
                earlier = self._earlier(name, seeds, finished, labels, stop_at, report)
                per_seed |= {"train": out_of_fold(per_seed["train"], groups, labels, earlier)}
            for epoch in self._epochs(name, state, history, per_seed, labels):
                state, history = epoch
                yield Snapshot(name, state, stack(history), finished)
            finished[name] = outcome(state, stack(history))
            params = state.best
        yield Snapshot(name, state, finished[name].history, finished)

    @in_standard_numbers
    def before(
        self,
        stage: str,
        params: Any,
        finished: Mapping[str, Outcome],
        seeds: Sequence[int],
        stop_at: Mapping[str, StopAt] | None = None,
    ) -> Snapshot:
        """Returns the snapshot before a stage except the first, from which `run` resumes.

        `params` are all those that earlier stages train, leading axis S; `finished` has the outcome
        of each of these stages. The other arguments are those of `run`.
        """
        state = self._start_next(stage, seeds, params, finished, stop_at)
        last = list(finished.values())[-1]
        empty = jax.tree.map(lambda x: x[:0, :, :1], last.history)
        return Snapshot(stage, state, empty, dict(finished))

    @in_standard_numbers
    def start(
        self,
        name: str,
        seeds: Sequence[int],
        params: Any = None,
        stop_at: StopAt | None = None,
    ) -> State:
        """Initialises a stage's state before its first epoch, leading axis S.

        Parameters that `params` [S, ...] lack are initialised at random. Without stopping points,
        validation selects.
        """
        stop_at = self._no_stop(name, len(seeds)) if stop_at is None else stop_at
        start = programs.start(self.stage(name), self.sizes, self.mesh)
        return start(np.asarray(seeds, np.uint32), stop_at, dict(params or {}))

    @in_standard_numbers
    def template(self, stage: str, seeds: int) -> State:
        """Returns the shapes of a stage's state with a leading axis S, for reading checkpoints."""
        seed = jax.ShapeDtypeStruct((seeds,), jnp.uint32)
        params = jax.tree.map(lambda x: x.update(shape=(seeds, *x.shape)), self.shapes)
        stop_at = self._no_stop(stage, seeds)
        return jax.eval_shape(jax.vmap(self.stage(stage).start), seed, stop_at, params)

    def trainable(self, params: Any) -> int:
        """Counts the parameters of one seed that the last stage trains, given those of S seeds."""
        groups = jax.tree.leaves(self.stage(self.stages[-1]).groups)
        pairs = zip(groups, jax.tree.leaves(params), strict=True)
        return sum(math.prod(x.shape[1:]) for group, x in pairs if group != optimizer.FROZEN)

    def answers(self, params: Any) -> dict[str, dict[str, np.ndarray]]:
        """Computes logits [S, R + 1, U, C] on the rows of `valid` and `test`, by head and part.

        The heads are those of all stages; `params` have a leading axis S. For numbers, logits are
        predictions in standard deviations of training.
        """
        if self._answer is None:
            stage = dataclasses.replace(self.stage(self.stages[-1]), method="__call__")
            self._answer = self._feed.predictions(stage, holdout_only=True)
        logits = processes.gather(self._answer(params, {})["holdout"])
        valid, test = (self._host_rows[part].mask.shape for part in ("valid", "test"))
        count = valid[0] - 1

        def of_head(x):
            valid_rows = with_empty_row(x[:, :count, : valid[1]])
            return {"valid": valid_rows, "test": x[:, count:, : test[1]]}

        return {head: of_head(logits[head]) for stage in self.stages for head in self.heads(stage)}

    def compile(self, name: str) -> tuple[StageTraining, Epochs, Predictions | None]:
        """Returns a stage, its epochs, and the function that computes its inputs if frozen."""
        if name not in self._compiled:
            stage = self.stage(name)
            declared, predict, feed, calls = self._stages[name], None, self._feed, 1
            if inputs_are_frozen(self.system, self.sizes, declared, stage.groups):
                answering = dataclasses.replace(stage, method=declared.reads)
                if self._plain is None:
                    self._plain = Resident(featureless(self._host_rows), self.mesh, self.parallel)
                predict, feed = self._feed.predictions(answering), self._plain
                # These epochs take less time than a call, so several run in one call.
                most = self.epochs(name)
                calls = max(n for n in range(1, _EPOCHS_A_CALL + 1) if most % n == 0)
            self._compiled[name] = (stage, feed.epochs(stage, calls), predict)
        return self._compiled[name]

    def _start_next(self, name, seeds, params, finished, stop_at):
        """Initialises a stage after the `finished` ones, see `start`."""
        if finished:
            before = list(finished)[-1]
            loss = stop_at[before].valid_loss if stop_at else selected_loss(finished[before])
            params = {**params, **self.system.chosen_params(name, loss)}
        return self.start(name, seeds, params, stop_at[name] if stop_at else None)

    def _inputs(self, name: str, params: Any) -> dict[str, Any]:
        """Computes the inputs of a stage if they are frozen; otherwise returns an empty dict."""
        _, _, predict = self.compile(name)
        return dict(predict(params, {})) if predict else {}

    def _epochs(self, name, state, history, per_seed, labels):
        """Yields the state and the history after each call, until all seeds have stopped."""
        _, epochs, _ = self.compile(name)
        while len(history) < self.epochs(name) and not np.all(processes.gather(state.stopped)):
            state, records = epochs(state, per_seed, labels)
            history.extend(by_epoch(processes.gather(records)))
            yield state, history

    def _earlier(self, name, seeds, finished, full, stop_at, report):
        """Returns a function that retrains the earlier stages and computes this stage's inputs.

        The stages are retrained for the selected epochs. Predicted numbers, in standard deviations
        of the labels trained on, are converted to standard deviations of the `full` labels.
        """

        def train_and_predict(labels, title):
            params = None
            for earlier in self.stages[: self.stages.index(name)]:
                stop = stop_at[earlier] if stop_at else self._no_stop(earlier, len(seeds))
                stop = stop._replace(epoch=finished[earlier].best_epoch)
                state = self.start(earlier, seeds, params, stop)
                per_seed = self._inputs(earlier, state.params)
                for last, records in self._epochs(earlier, state, [], per_seed, labels):
                    snapshot = Snapshot(f"{earlier}, {title}", last, stack(records), {})
                    report(snapshot, int(stop.epoch.max()))
                params = last.best
            later = self.start(name, seeds, params).params
            predictions = self._inputs(name, later)["train"]
            references = [
                self.objective.reference(jnp.asarray(part["train"])) for part in (labels, full)
            ]
            return jax.tree.map(lambda x: self.objective.convert(x, *references), predictions)

        return train_and_predict

    def _no_stop(self, name: str, seeds: int) -> StopAt:
        return no_stop(seeds, len(self.heads(name)), self.epochs(name))

    def _compiling(self, name, seeds, labels) -> contextlib.AbstractContextManager:
        """Returns a context in which the epochs of a stage are compiled in another thread.

        Nothing is compiled ahead with several processes, or if a stage reads frozen predictions.
        """
        stage, _, predict = self.compile(name)
        if predict or self.mesh.is_multi_process or self.parallel != "jit":
            return contextlib.nullcontext()
        layout = distribution.layout(self.mesh, by_seed=True)
        state = jax.tree.map(lambda x: x.update(sharding=layout), self.template(name, seeds))
        return self._feed.compiling(stage, state, labels)


def _key(stage: str) -> int:
    """Computes the key of a stage's random numbers from the letters of its name."""
    return sum(stage.encode())
