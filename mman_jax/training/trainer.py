"""Training of a system, stage by stage, for all seeds."""

import concurrent.futures
import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.key import Key
from mman_jax.training import mesh as distribution
from mman_jax.training import processes
from mman_jax.training.goal import Goal, unknown
from mman_jax.training.kept import kept
from mman_jax.training.objectives import Numbers
from mman_jax.training.out_of_fold import out_of_fold
from mman_jax.training.outcome import Outcome, Snapshot, by_epoch, join, outcome, stack, unstack
from mman_jax.training.parameters import drawn, shapes
from mman_jax.training.programs import Programs
from mman_jax.training.stage import StageTraining
from mman_jax.training.state import State


class Trainer(Programs):
    """Trains a system as settings say, on one corpus; a task's labels come with each run."""

    @in_standard_numbers
    def run(
        self,
        labels: Mapping[str, np.ndarray],
        seeds: Sequence[int],
        start: Snapshot | None = None,
        paces: Sequence[float] | None = None,
        goals: Mapping[str, Goal] | None = None,
        groups: np.ndarray | None = None,
    ) -> Iterator[Snapshot]:
        """Yields a snapshot after every epoch, and a last one with every stage finished.

        A yielded state lives on the devices and is overwritten by the next epoch: copy what is to
        be kept. Among several processes each runs this, epoch by epoch, and holds a part of the
        state; the rest of a snapshot is whole on all of them (see `processes.whole`).

        Args:
            labels: [R + 1, U] int32 of each part; of numbers and of votes, [R + 1, U, C] float32.
            seeds: S seeds.
            start: a snapshot to go on from; None starts afresh.
            paces: what to multiply each seed's learning rates by; None: by 1.
            goals: of each stage, in a training again; None: each epoch is chosen by validation.
            groups: [R + 1, U] int, groups of training conversations, for the stages whose `answers`
                are to be `out_of_fold`; None: they are those of `training`.
        """
        finished = dict(start.finished) if start else {}
        params = None
        for name in self.stages[self.stages.index(start.stage) if start else 0 :]:
            if start and start.stage == name:
                state = distribution.place(start.state, self.mesh, by_seed=True)
                history = unstack(start.history)
            else:
                goal = goals[name] if goals else None
                with self._compiling_ahead(name, len(seeds), labels):
                    state, history = self.start(name, seeds, params, paces, goal), []
            own = self._inputs(name, state.params)
            answers = self.settings[name].get("answers")
            if own and groups is not None and answers == "out_of_fold":
                earlier = self._earlier(name, seeds, paces, finished, labels, goals)
                own |= {"train": out_of_fold(own["train"], groups, labels, earlier)}
            for epoch in self._epochs(name, state, history, own, labels):
                state, history = epoch
                yield Snapshot(name, state, stack(history), finished)
            finished[name] = outcome(state, stack(history))
            params = state.best
        yield Snapshot(name, state, finished[name].history, finished)

    def _inputs(self, name: str, params: Any) -> dict[str, Any]:
        """What a stage reads, computed once, where it is frozen; else nothing."""
        _, _, predict = self.compile(name)
        return dict(predict(params, {})) if predict else {}

    def _epochs(self, name, state, history, own, labels):
        _, epochs, _ = self.compile(name)
        while len(history) < self.epochs(name) and not np.all(processes.whole(state.stopped)):
            state, records = epochs(state, own, labels)
            history.extend(by_epoch(processes.whole(records)))
            yield state, history

    def _earlier(
        self,
        name: str,
        seeds: Sequence[int],
        paces: Sequence[float] | None,
        finished: Mapping[str, Outcome],
        whole: Mapping[str, np.ndarray],
        goals: Mapping[str, Goal] | None,
    ):
        """Trains the stages before this one for the epochs that they chose; what it then reads.

        Numbers are answered in deviations of the labels that were learnt from; the stage reads them
        in those of the `whole` labels.
        """

        def train_and_answer(labels):
            params = None
            for earlier in self.stages[: self.stages.index(name)]:
                goal = goals[earlier] if goals else self._unknown(earlier, len(seeds))
                goal = goal._replace(epoch=finished[earlier].best_epoch)
                state = self.start(earlier, seeds, params, paces, goal)
                own = self._inputs(earlier, state.params)
                *_, (state, _) = self._epochs(earlier, state, [], own, labels)
                params = state.best
            later = self.start(name, seeds, params, paces).params
            found = self._inputs(name, later)["train"]
            if not isinstance(self.objective, Numbers):
                return found
            (mean, spread), (centre, scale) = (
                self.objective.reference(jnp.asarray(given["train"])) for given in (labels, whole)
            )
            return jax.tree.map(lambda x: (mean + spread * x - centre) / scale, found)

        return train_and_answer

    @in_standard_numbers
    def join(
        self,
        params: Any,
        trained: Mapping[str, Outcome],
        seeds: Sequence[int],
        paces: Sequence[float] | None = None,
        goals: Mapping[str, Goal] | None = None,
    ) -> Snapshot:
        """The snapshot before the second stage's first epoch, from heads that were trained apart.

        Args:
            params: of all that the first stage trains, leading axis S.
            trained: what the training of each of its heads gave (T is 1).
            seeds: S seeds.
            paces: what to multiply each seed's learning rates by; None: by 1.
            goals: see `run`.
        """
        first, second = self.stages[:2]
        joined = join([trained[head] for head in self.heads(first)])
        goal = goals[second] if goals else None
        state = self.start(second, seeds, params, paces, goal)
        empty = jax.tree.map(lambda x: x[:0, :, :1], joined.history)
        return Snapshot(second, state, empty, {first: joined})

    @in_standard_numbers
    def start(
        self,
        name: str,
        seeds: Sequence[int],
        params: Any = None,
        paces: Sequence[float] | None = None,
        goal: Goal | None = None,
    ) -> State:
        """A stage's state before its first epoch, leading axis S.

        Args:
            name: of the stage.
            seeds: S seeds.
            params: to go on from, leading axis S; those that it lacks are drawn.
            paces: what to multiply each seed's learning rates by; None: by 1.
            goal: what is known before of where it is to come to; None: nothing.
        """
        seeds = np.asarray(seeds, np.uint32)
        paces = np.ones(len(seeds), np.float32) if paces is None else np.asarray(paces, np.float32)
        goal = self._unknown(name, len(seeds)) if goal is None else goal
        begin = _beginning(self.stage(name), self.sizes, self.mesh)
        return begin(seeds, paces, goal, dict(params or {}))

    def _unknown(self, name: str, seeds: int) -> Goal:
        return unknown(seeds, len(self.heads(name)), self.epochs(name))

    @in_standard_numbers
    def template(self, stage: str, seeds: int) -> State:
        """The shapes of a stage's state with a leading axis S, to read a checkpoint by."""
        names = jax.ShapeDtypeStruct((seeds,), jnp.uint32)
        params = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), self.shapes
        )
        goal = self._unknown(stage, seeds)
        return jax.eval_shape(jax.vmap(self.stage(stage).start), names, names, goal, params)

    @contextlib.contextmanager
    def _compiling_ahead(self, name: str, seeds: int, labels: Mapping[str, np.ndarray]):
        """Within it the epochs of a stage are compiled, too, in a thread of their own; where other
        processes take part, or the stage reads answers of other stages, they are not."""
        stage, _, predict = self.compile(name)
        if predict or self.streamed or self.mesh.is_multi_process or self.parallel != "jit":
            yield
            return
        layout = distribution.layout(self.mesh, by_seed=True)
        state = jax.tree.map(lambda x: x.update(sharding=layout), self.template(name, seeds))
        context = contextvars.copy_context()
        compile_ = in_standard_numbers(self._feed.compile)  # settings of JAX are a thread's own
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            done = executor.submit(context.run, compile_, stage, state, labels)
            yield
            done.result()


@kept
def _beginning(stage: StageTraining, sizes: tuple[tuple[str, int], ...], mesh: Mesh) -> Callable:
    """All seeds' first states, compiled quickly: it runs but once a training."""

    def begin(seed, pace, goal, params):
        if drawn_anew := set(shapes(Key(stage.system), sizes)) - set(params):
            new = drawn(stage.system, sizes, seed)
            params = {name: new[name] if name in drawn_anew else params[name] for name in new}
        return stage.start(seed, pace, goal, params)

    return jax.jit(
        jax.vmap(begin),
        out_shardings=distribution.layout(mesh, by_seed=True),
        compiler_options=distribution.once(mesh.devices.flat[0].platform),
    )
