"""Folds inside a corpus's training part, and networks trained on them: no other part is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import folds
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.protocols import Task
from mman_jax.errors import InputError, within
from mman_jax.systems import build
from mman_jax.systems.base import System
from mman_jax.systems.estimator import check_network
from mman_jax.training import mesh as parallel
from mman_jax.training.objectives import Classes, Objective
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.programs import ANSWERS
from mman_jax.training.state import TEMPERATURES
from mman_jax.training.trainer import Trainer
from mman_jax.trial import cells, settings
from mman_jax.trial import tasks as learnt
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.prepared import choose_split, out_of_fold_groups
from mman_jax.trial.progress import Progress
from mman_jax.trial.tested import load_corpus

SETTING = "sweep_folds"
"""What says how the training part is divided, for messages."""


class Trained(NamedTuple):
    """What the first stages left on a fold: parameters [S, ...], and the outcome of each stage."""

    params: Any
    finished: Mapping[str, Outcome]


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
        folds: a group validates, all others train.
    """

    modalities: tuple[str, ...]
    task: Task
    about: tuple[str, ...]
    folds: Folds


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
    if not config.data.split and (config.data.folds or "valid" not in (corpus.split or ())):
        # A validation part that the corpus does not name is held out of training by a run alone.
        chosen = dataclasses.replace(chosen, train=np.union1d(chosen.train, chosen.valid))
    inner = folds.inner(corpus, chosen, by, SETTING)
    folds.check(corpus, inner, tasks, SETTING)
    splits, laid = [fold.split for fold in inner], cells.load(config, corpus)
    shapes = common_shapes(corpus, splits, laid)
    parts = tuple(prepare(corpus, split, shapes, laid) for split in splits)
    labels = tuple(part.labels(tasks[0]) for part in parts)
    about = tuple(dict.fromkeys(split.how for split in splits))
    modalities = tuple(laid.cells.dims)
    names = tuple(fold.name for fold in inner)
    return Inner(modalities, tasks[0], about, Folds(names, parts, labels))


class Candidate:
    """One system under some settings, to be trained on any of the folds."""

    def __init__(
        self,
        inner: Inner,
        config: ConfigDict,
        seeds: Sequence[int],
        progress: Progress,
        until: str | None = None,
    ):
        """Builds the network, and compiles nothing yet.

        Args:
            inner: the training part.
            config: of a system.
            seeds: S seeds.
            progress: where progress is shown.
            until: the last stage to train; None: the system's last.

        Raises:
            InputError: if it cannot be built.
        """
        self.folds = inner.folds
        self.seeds, self.progress = list(seeds), progress
        shards = (config.mesh.seeds, config.mesh.rows)
        with within("config"):
            classes = len(inner.task.classes)
            laid, corpus = self.folds.parts[0].laid, self.folds.parts[0].corpus
            network = learnt.network(config, inner.task, laid)
            system = build(network, inner.modalities, classes)
            check_network("a search", system)
            mesh = parallel.make_mesh(len(self.seeds), config.parallel, *shards)
            self.system: System = system
            rows = self.folds.parts[0].rows
            train = settings.training(config, corpus, laid)
            self._trainer = Trainer(
                system, train, rows, classes, mesh, config.parallel,
                config.data.stream, self.folds.items, inner.task.targets, until,
            )  # fmt: skip
            for stage in self._trainer.stages:
                self._trainer.stage(stage)  # what it says is of the recipe
        runs = len(self.seeds) * len(self.folds.parts)
        self._trainer.release()  # several may be made before any of them trains
        self._numbers = bool(inner.task.targets)
        self._small = settings.is_small(self._trainer, rows, runs)
        with parallel.compiling(quickly=self._small):
            options = parallel.compiler_options(jax.default_backend())
        self._score = jax.jit(_scoring(system, self._trainer.objective), compiler_options=options)

    def train(self, fold: int, name: str, before: Trained | None = None) -> Snapshot:
        """Trains all stages, or those after the ones that were trained; returns the last snapshot.

        Args:
            fold: its number.
            name: for the progress.
            before: what earlier stages left on this fold; None: they are trained.
        """
        trainer, parts, start = self._trainer, self.folds.parts[fold], None
        trainer.put(parts.rows)
        apart = any(trainer.settings[stage].get("answers") in ANSWERS[1:] for stage in self.stages)
        groups = out_of_fold_groups(parts) if apart else None
        with parallel.compiling(quickly=self._small):
            if before:
                stage = self.stages[len(before.finished)]
                start = trainer.before(stage, before.params, before.finished, self.seeds)
            snapshot = start
            for snapshot in trainer.run(self.folds.labels[fold], self.seeds, start, groups=groups):
                if len(snapshot.finished) < len(self.stages):
                    epochs = trainer.epochs(snapshot.stage)
                    self.progress.epoch(name, snapshot, epochs, self._numbers)
                Preemption.check()
        trainer.release()
        return snapshot

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that it trains."""
        return self._trainer.stages

    def trained(self, snapshot: Snapshot) -> Trained:
        """Returns what the next stage needs of a last snapshot, in the host's memory."""
        return Trained(jax.tree.map(np.asarray, snapshot.state.best), dict(snapshot.finished))

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
        for name, outcome in snapshot.finished.items():
            converged = (outcome.best_epoch > 0) & ~outcome.failed.any(-1)
            for index, head in enumerate(self._trainer.heads(name)):
                own = np.asarray(found[head], np.float64)
                losses[head] = np.where(converged[:, index] & np.isfinite(own), own, np.inf)
        return losses


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
