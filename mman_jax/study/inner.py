"""Folds inside a corpus's training part, and networks trained on them: no other part is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import folds
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.protocols import Task
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, within
from mman_jax.systems import build
from mman_jax.systems.base import System
from mman_jax.training import mesh as parallel
from mman_jax.training.objectives import Classes, Objective
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.state import TEMPERATURES
from mman_jax.training.trainer import Trainer
from mman_jax.trial import cells, settings
from mman_jax.trial import tasks as learnt
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.prepared import choose_split
from mman_jax.trial.progress import Progress
from mman_jax.trial.tested import load_corpus

SETTING = "sweep_folds"
"""What says how the training part is divided, for messages."""

Towers = Mapping[str, tuple[Any, Outcome]]
"""Trained towers by name: parameters [S, ...] by top-level name, and their outcomes (T is 1)."""


@dataclasses.dataclass(frozen=True)
class Folds:
    """Several splits of a corpus whose rows have equal shapes, so that they share programs.

    Attributes:
        names: of the group of conversations that each is about.
        parts: of each.
        labels: of each, by part.
    """

    names: tuple[str, ...]
    parts: tuple[Parts, ...]
    labels: tuple[Mapping[str, np.ndarray], ...]

    @property
    def items(self) -> int:
        """The most conversations, or where cells are words utterances, that any trains on."""
        return max(len(parts.layouts["train"].conversations) for parts in self.parts)


@dataclasses.dataclass(frozen=True)
class Inner:
    """A corpus's training part, each group of whose conversations is held out once.

    Attributes:
        modalities: of the corpus, in order.
        task: what is learnt.
        about: sentences for people.
        held: a group validates, all others train.
        blind: the next group validates, and the group itself, which has no say, is the test part;
            None where there are but two groups.
    """

    modalities: tuple[str, ...]
    task: Task
    about: tuple[str, ...]
    held: Folds
    blind: Folds | None


def prepare_inner(config: ConfigDict, by: str) -> Inner:
    """Reads a recipe's corpus, and divides its training part.

    Args:
        config: a recipe.
        by: as of `folds.inner`.

    Raises:
        InputError: if something cannot be used.
    """
    settings.check_numbers(config)
    if config.data.folds and not config.data.fold:
        found = f"{config.data.folds!r}: what one fold tests, the others train on"
        raise InputError("config.data.folds", found, "config.data.fold, too: a sweep for each fold")
    corpus = load_corpus(config.data)
    tasks = learnt.of_config(config, corpus)
    if len(tasks) > 1:
        found = f"{config.data.protocol!r}, of {len(tasks)} tasks"
        raise InputError("config.data.protocol", found, "one of a single task")
    chosen, _ = choose_split(config.data, corpus, tasks)
    inner = folds.inner(corpus, chosen, by, SETTING)
    folds.check(corpus, inner, tasks, SETTING)
    splits, blind = [fold.split for fold in inner], []
    for split, then in zip(splits, splits[1:] + splits[:1], strict=True):
        rest = np.setdiff1d(split.train, then.valid)
        if len(rest):
            blind.append(Split(rest, then.valid, split.valid, "the group tested has no say"))

    words = cells.load(config, corpus)

    def laid(several):
        shapes = common_shapes(corpus, several, words)
        parts = tuple(prepare(corpus, split, shapes, words) for split in several)
        return Folds(names, parts, tuple(part.labels(tasks[0]) for part in parts))

    names = tuple(fold.name for fold in inner)
    about = tuple(dict.fromkeys(split.how for split in splits))
    modalities = tuple((corpus if words is None else words.cells).dims)
    return Inner(modalities, tasks[0], about, laid(splits), laid(blind) if blind else None)


class Candidate:
    """One system under some settings, to be trained on any of the folds."""

    def __init__(
        self,
        inner: Inner,
        config: ConfigDict,
        seeds: Sequence[int],
        progress: Progress,
        towers: Sequence[str] = (),
        folds: Folds | None = None,
    ):
        """Builds the network, and compiles nothing yet.

        Args:
            inner: the training part.
            config: of a system.
            seeds: S seeds.
            progress: where progress is shown.
            towers: these of its towers alone, and no fusion; none: the whole system.
            folds: what it is trained on; None: those that hold a group out.

        Raises:
            InputError: if it cannot be built.
        """
        self.folds = folds or inner.held
        self.seeds, self.progress = list(seeds), progress
        shards = (config.mesh.seeds, config.mesh.rows)
        with within("config"):
            classes = len(inner.task.classes)
            words, corpus = self.folds.parts[0].words, self.folds.parts[0].corpus
            network = learnt.network(config, inner.task, words)
            system = build(network, inner.modalities, classes)
            if towers:
                own = {name: system.towers[name] for name in towers}
                inputs = {name: system.inputs[name] for name in towers}
                system = system.clone(towers=own, inputs=inputs, fusion=None)
            mesh = parallel.make_mesh(len(self.seeds), config.parallel, *shards)
            self.system: System = system
            rows = self.folds.parts[0].rows
            train = settings.training(config, corpus, words)
            self._trainer = Trainer(
                system, train, rows, classes, mesh, config.parallel,
                config.data.stream, self.folds.items, learnt.numbers(inner.task),
            )  # fmt: skip
            for stage in self._trainer.stages:
                self._trainer.stage(stage)  # what it says is of the recipe
        runs = len(self.seeds) * len(self.folds.parts)
        self._trainer.release()  # several may be made before any of them trains
        self._numbers = bool(learnt.numbers(inner.task))
        self._small = settings.is_small(self._trainer, rows, runs)
        with parallel.compiling(quickly=self._small):
            options = parallel.compiler_options(jax.default_backend())
        self._score = jax.jit(_scoring(system, self._trainer.objective), compiler_options=options)

    def train(self, fold: int, name: str, towers: Towers | None = None) -> Snapshot:
        """Trains all stages, or the fusion alone on towers that were trained; the last snapshot.

        Args:
            fold: its number.
            name: for the progress.
            towers: that were trained on this fold.
        """
        trainer, start = self._trainer, None
        trainer.put(self.folds.parts[fold].rows)
        with parallel.compiling(quickly=self._small):
            if towers:
                params = {key: x for own, _ in towers.values() for key, x in own.items()}
                outcomes = {tower: outcome for tower, (_, outcome) in towers.items()}
                start = trainer.join(params, outcomes, self.seeds)
            snapshot = start
            for snapshot in trainer.run(self.folds.labels[fold], self.seeds, start):
                if len(snapshot.finished) < len(trainer.stages):
                    epochs = trainer.epochs(snapshot.stage)
                    self.progress.epoch(name, snapshot, epochs, self._numbers)
                Preemption.check()
        trainer.release()
        return snapshot

    def losses(self, fold: int, snapshot: Snapshot) -> dict[str, np.ndarray]:
        """Each head's loss [S] on the group held out; infinite of a seed that failed.

        Of classes it is cross-entropy in nats, whatever weighs classes or smooths labels in
        training, with the logits divided by the temperature that makes it lowest: the answers of
        a trained model are calibrated, so how sure a network is of itself says nothing of them.
        """
        rows = self.folds.parts[fold].rows["valid"]
        inputs = rows.inputs._replace(features=jax.tree.map(np.asarray, rows.features))
        labels = self.folds.labels[fold]["valid"]
        reference = self._trainer.objective.reference(self.folds.labels[fold]["train"])
        found = self._score(snapshot.state.best, inputs, labels, reference)
        losses = {}
        for name, stage in zip(snapshot.finished, self.system.stages(), strict=True):
            outcome = snapshot.finished[name]
            converged = (outcome.best_epoch > 0) & ~outcome.failed.any(-1)
            for index, head in enumerate(stage.heads):
                own = np.asarray(found[head], np.float64)
                losses[head] = np.where(converged[:, index] & np.isfinite(own), own, np.inf)
        return losses

    def towers(self, snapshot: Snapshot) -> Towers:
        """The towers of a snapshot of theirs, apart."""
        params = jax.tree.map(np.asarray, snapshot.state.best)
        (outcome,) = snapshot.finished.values()
        found = {}
        for index, name in enumerate(self.system.towers):
            history = jax.tree.map(lambda x, i=index: x[:, :, i : i + 1], outcome.history)
            scores = [x[:, index : index + 1] for x in outcome[:-1]]
            key = f"towers_{name}"
            found[name] = {key: params[key]}, Outcome(*scores, history)
        return found


def _scoring(system: System, objective: Objective):
    heads = [head for stage in system.stages() for head in stage.heads]
    plain = Classes(system.outputs) if isinstance(objective, Classes) else objective

    def calibrated(answers, labels, reference):
        tally = plain.tally(answers, labels, reference)
        summed = plain.summed(answers, labels, reference, TEMPERATURES)
        return plain.valid_losses(tally[None], summed[None]).min()

    def score(params, inputs, labels, reference):
        reference = jnp.ones(system.outputs) if plain is not objective else reference

        def one(params):
            logits, _ = system.apply({"params": params}, inputs)
            return {head: calibrated(logits[head], labels, reference) for head in heads}

        return jax.lax.map(one, params)

    return score
