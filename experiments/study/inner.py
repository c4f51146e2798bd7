"""Folds inside a corpus's training part, and networks trained on them: no other part is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.terminal.command import Preemption
from experiments.terminal.screen import Screen
from experiments.trial import settings
from experiments.trial.prepared import choose_split, load_corpus
from mman_jax.data import folds, protocols
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, within
from mman_jax.systems import build
from mman_jax.systems.base import System
from mman_jax.training import mesh as parallel
from mman_jax.training.losses import cross_entropy
from mman_jax.training.outcome import Outcome, Snapshot
from mman_jax.training.trainer import Trainer

Towers = Mapping[str, tuple[Any, Outcome]]
"""Trained towers by name: parameters [S, ...] by top-level name, and their outcomes (T is 1)."""


@dataclasses.dataclass(frozen=True)
class Inner:
    """A corpus's training part, each group of whose conversations is held out once.

    Attributes:
        modalities: of the corpus, in order.
        classes: C.
        about: sentences for people.
        names: of the groups.
        parts: of each fold: a group validates, all others train; arrays have equal shapes.
        labels: of each fold, by part.
        blind: the same, but that the next group validates, and the group itself, which has no say,
            is the test part; empty where there are but two groups.
        blind_labels: of each of these, by part.
    """

    modalities: tuple[str, ...]
    classes: int
    about: tuple[str, ...]
    names: tuple[str, ...]
    parts: tuple[Parts, ...]
    labels: tuple[Mapping[str, np.ndarray], ...]
    blind: tuple[Parts, ...]
    blind_labels: tuple[Mapping[str, np.ndarray], ...]


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
    tasks = protocols.tasks(corpus, config.data.protocol)
    if len(tasks) > 1:
        found = f"{config.data.protocol!r}, of {len(tasks)} tasks"
        raise InputError("config.data.protocol", found, "one of a single task")
    chosen, _ = choose_split(config.data, corpus, tasks)
    inner = folds.inner(corpus, chosen, by)
    folds.check(corpus, inner, tasks)
    splits, blind = [fold.split for fold in inner], []
    for split, then in zip(splits, splits[1:] + splits[:1], strict=True):
        rest = np.setdiff1d(split.train, then.valid)
        if len(rest):
            blind.append(Split(rest, then.valid, split.valid, "the group tested has no say"))

    def laid(several):
        shapes = common_shapes(corpus, several) if several else {}
        parts = tuple(prepare(corpus, split, shapes) for split in several)
        return parts, tuple(part.labels(tasks[0]) for part in parts)

    about = tuple(dict.fromkeys(split.how for split in splits))
    names = tuple(fold.name for fold in inner)
    made = (*laid(splits), *laid(blind))
    return Inner(tuple(corpus.dims), len(tasks[0].classes), about, names, *made)


class Candidate:
    """One system under some settings, to be trained on any of the folds."""

    def __init__(
        self,
        inner: Inner,
        config: ConfigDict,
        seeds: Sequence[int],
        screen: Screen,
        towers: Sequence[str] = (),
    ):
        """Builds the network.

        Args:
            inner: the folds.
            config: of a system.
            seeds: S seeds.
            screen: where progress is shown.
            towers: these of its towers alone, and no fusion; none: the whole system.

        Raises:
            InputError: if it cannot be built.
        """
        self.inner, self.config, self.seeds, self.screen = inner, config, list(seeds), screen
        with within("config"):
            system = build(config.network, inner.modalities, inner.classes)
        if towers:
            own = {name: system.towers[name] for name in towers}
            inputs = {name: system.inputs[name] for name in towers}
            system = system.clone(towers=own, inputs=inputs, fusion=None)
        self.system: System = system
        self._trainer: Trainer | None = None
        self._score = jax.jit(
            _scoring(system), compiler_options=parallel.compiler_options(jax.default_backend())
        )

    def trainer(self, parts: Parts) -> Trainer:
        """What trains it on a fold; compiled for the first one."""
        if self._trainer is None:
            config = self.config
            shards = (config.mesh.seeds, config.mesh.rows)
            with within("config"):
                mesh = parallel.make_mesh(len(self.seeds), config.parallel, *shards)
                self._trainer = Trainer(
                    self.system, config.train, parts.rows, self.inner.classes, mesh,
                    config.parallel, config.data.stream,
                )  # fmt: skip
        else:
            self._trainer.put(parts.rows)
        return self._trainer

    def train(
        self,
        parts: Parts,
        labels: Mapping[str, np.ndarray],
        name: str,
        towers: Towers | None = None,
    ) -> Snapshot:
        """Trains all stages, or the fusion alone on towers that were trained; the last snapshot."""
        trainer, start = self.trainer(parts), None
        if towers:
            params = {key: x for own, _ in towers.values() for key, x in own.items()}
            outcomes = {tower: outcome for tower, (_, outcome) in towers.items()}
            start = trainer.join(params, outcomes, self.seeds)
        snapshot = start
        for snapshot in trainer.run(labels, self.seeds, start):
            if len(snapshot.finished) < len(trainer.stages):
                self.screen.epoch(name, snapshot, trainer.epochs(snapshot.stage))
            Preemption.obey()
        return snapshot

    def losses(self, fold: int, snapshot: Snapshot) -> dict[str, np.ndarray]:
        """Each head's loss [S] on the group held out, in nats; infinite of a seed that failed.

        It is plain cross-entropy, whatever weighs classes or smooths labels in training.
        """
        rows = self.inner.parts[fold].rows["valid"]
        features = {name: np.asarray(x) for name, x in rows.features.items()}
        labels = self.inner.labels[fold]["valid"]
        found = self._score(snapshot.state.best, features, rows.reset, rows.present, labels)
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


def _scoring(system: System):
    def score(params, features, reset, present, labels):
        def one(params):
            logits, _ = system.apply({"params": params}, features, reset, present=present)
            even = jnp.ones(system.classes)
            pairs = {head: cross_entropy(x, labels, even) for head, x in logits.items()}
            return {head: total / weight for head, (total, weight) in pairs.items()}

        return jax.lax.map(one, params)

    return score
