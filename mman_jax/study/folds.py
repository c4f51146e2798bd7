"""Trials on the folds of a corpus, and training on folds of a training part."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import folds
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.errors import InputError
from mman_jax.study import jobs, pooled
from mman_jax.systems import build
from mman_jax.systems.base import System
from mman_jax.systems.estimator import check_network
from mman_jax.tasks import Task, check_folds
from mman_jax.tasks.task import Objective
from mman_jax.training import mesh as parallel
from mman_jax.training.optimizer import FROZEN
from mman_jax.training.state import TEMPERATURES, Outcome, Snapshot
from mman_jax.training.trainer import Trainer
from mman_jax.trial import boards, folder
from mman_jax.trial import config as configs
from mman_jax.trial.config import tasks_of
from mman_jax.trial.corpora import load_cells, load_corpus
from mman_jax.trial.progress import Preemption, Progress
from mman_jax.trial.trial import (
    choose_split,
    is_small,
    make_trainer,
    out_of_fold_groups,
    prepare_trial,
)

_NAME = re.compile(r"\w[\w.-]{0,99}")

_SETTING = "sweep_folds"
"""The setting that divides the training part, for messages."""


def several(config: ConfigDict) -> bool:
    """Returns whether a config asks for all folds."""
    return bool(config.data.folds) and not config.data.fold


def check(config: ConfigDict) -> None:
    """Raises an InputError if one run with several processes is to train all folds."""
    if several(config) and config.distributed:
        expected = "one machine, or one fold (config.data.fold)"
        raise InputError("config.distributed", repr(config.distributed), expected)


def fold_configs(config: ConfigDict, corpus: Corpus) -> dict[str, ConfigDict]:
    """Returns the config of each fold by its name; without folds, the config itself by ""."""
    if not several(config):
        return {"": config}
    splits = folds.folds(corpus, config.data.folds)
    check_folds(corpus, splits, tasks_of(config, corpus))
    by_fold = {fold.name: configs.copy(config) for fold in splits}
    for name, fold_config in by_fold.items():
        fold_config.data.fold = name
    return by_fold


def fold_folders(workdir: pathlib.Path, names: list[str]) -> dict[str, pathlib.Path]:
    """Returns the folder of each fold: its name, or its number if the name cannot name a file."""
    if names == [""]:
        return {"": workdir}
    return {
        name: workdir / "folds" / (name if _NAME.fullmatch(name) else f"~{number + 1}")
        for number, name in enumerate(names)
    }


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    progress: Progress,
    processes: int = 1,
    cache: str = "",
    board_names: Sequence[str] = (),
    baseline: bool = True,
) -> None:
    """Trains a system on every fold and writes the pooled `results.json`; resumes earlier runs.

    Args:
        config: config of the system; `data.folds` names the folds.
        workdir: gets a trial per fold in `folds`, `confusion.png` and `results.json`.
        progress: see `jobs.run`, also for `processes` and `cache`.
        board_names: see `jobs.Job`, also for `baseline`.

    Raises:
        InputError: the config, its corpus or its folds cannot be used; nothing is written.
    """
    check(config)
    configs.check(config)
    boards.check(board_names)
    stored_config = json.loads(config.to_json())
    del stored_config["distributed"]
    if folder.finished(workdir, stored_config, progress):
        return
    corpus = load_corpus(config.data)
    by_fold = fold_configs(config, corpus)
    prepare_trial(next(iter(by_fold.values())))  # checks the settings that all folds share
    folder.claim(workdir, stored_config, corpus)
    folders = fold_folders(workdir, list(by_fold))
    todo = [
        jobs.Job(f"fold {name}", fold_config, folders[name], {}, True, board_names, baseline)
        for name, fold_config in by_fold.items()
    ]
    jobs.run(todo, progress, processes, cache)
    summary = pooled.results_of(pooled.read(folders))
    folder.write_results(workdir, summary)
    progress.table(summary)


class Trained(NamedTuple):
    """Parameters [S, ...] and outcomes of the first stages on a fold."""

    params: Any
    finished: Mapping[str, Outcome]


@dataclasses.dataclass(frozen=True)
class Inner:
    """A corpus's training part, divided into folds by groups of conversations.

    Each group is the validation part of one fold, and the other groups are its training part. The
    rows of all folds have equal shapes, so that they share programs.

    Attributes:
        modalities: modalities of the corpus, in order.
        task: the task to learn.
        about: descriptions of the folds for the user.
        folds: names of the groups.
        parts: the parts of each fold.
        labels: the labels of each fold, by part.
    """

    modalities: tuple[str, ...]
    task: Task
    about: tuple[str, ...]
    folds: tuple[str, ...]
    parts: tuple[Parts, ...]
    labels: tuple[Mapping[str, np.ndarray], ...]

    def heads(self, config: ConfigDict) -> dict[str, tuple[str, ...]]:
        """Returns the heads of each stage of a config's system, which must be a network."""
        system = build(configs.network(config), self.modalities, len(self.task.classes))
        check_network("sweep", system)
        return {stage.name: stage.heads for stage in cast(System, system).stages()}


def prepare_inner(config: ConfigDict, by: str) -> Inner:
    """Reads a config's corpus and divides its training part; the other parts are not used."""
    configs.check(config)
    if config.data.folds and not config.data.fold:
        found = f"{config.data.folds!r}, whose folds train on each other's test parts"
        raise InputError("config.data.folds", found, "config.data.fold as well, one for each sweep")
    corpus = load_corpus(config.data)
    tasks = tasks_of(config, corpus)
    if len(tasks) > 1:
        found = f"{config.data.protocol!r}, with {len(tasks)} tasks"
        raise InputError("config.data.protocol", found, "a protocol with a single task")
    split, _ = choose_split(config.data, corpus, tasks)
    if not config.data.split and (config.data.folds or "valid" not in (corpus.split or ())):
        # A validation part that the corpus does not name is part of the training part.
        split = dataclasses.replace(split, train=np.union1d(split.train, split.valid))
    inner = folds.inner(corpus, split, by, _SETTING)
    check_folds(corpus, inner, tasks, _SETTING)
    splits, cells = [fold.split for fold in inner], load_cells(config, corpus)
    shapes = common_shapes(corpus, splits, cells)
    parts = tuple(prepare(corpus, fold_split, shapes, cells) for fold_split in splits)
    return Inner(
        modalities=tuple(cells.dims),
        task=tasks[0],
        about=tuple(dict.fromkeys(fold_split.how for fold_split in splits)),
        folds=tuple(fold.name for fold in inner),
        parts=parts,
        labels=tuple(fold_parts.labels(tasks[0]) for fold_parts in parts),
    )


class Candidate:
    """A system with the settings of a trial of the search, to be trained on any of the folds.

    Attributes:
        stages: names of the stages to train.
        system: the network.
    """

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
            config: the config of a trial; its seeds are not used.
            until: the last stage to train; by default the system's last.
        """
        self._inner, self._progress = inner, progress
        self._seeds = list(seeds)
        config = configs.change(config, {"seeds": len(self._seeds)})
        most = max(len(parts.layouts["train"].conversations) for parts in inner.parts)
        trainer = make_trainer(config, inner.parts[0], inner.task, most, until)
        check_network("a search", trainer.system)
        self._trainer = cast(Trainer, trainer)
        self.stages, self.system = self._trainer.stages, self._trainer.system
        self._trainer.release()  # many candidates may be built before the first one trains
        runs = len(self._seeds) * len(inner.parts)
        self._small = is_small(self._trainer, inner.parts[0].rows, runs)
        with parallel.compiling(quickly=self._small):
            options = parallel.compiler_options(jax.default_backend())
        self._objective = self._trainer.objective.plain()
        score = _scoring(self.system, self._objective)
        self._score = jax.jit(score, compiler_options=options)

    def train(self, fold: int, name: str, before: Trained | None = None) -> Snapshot:
        """Trains all stages, or those after the trained ones; returns the last snapshot.

        Args:
            before: the trained earlier stages on this fold; by default all stages are trained.
        """
        trainer, parts, start = self._trainer, self._inner.parts[fold], None
        trainer.put(parts.rows)
        groups = out_of_fold_groups(parts, trainer, trainer.settings)
        with parallel.compiling(quickly=self._small):
            if before:
                stage = self.stages[len(before.finished)]
                start = trainer.before(stage, before.params, before.finished, self._seeds)

            def report(snapshot: Snapshot, epochs: int) -> None:
                self._progress.epoch(name, snapshot, epochs, self._inner.task.progress)
                Preemption.check()

            labels, snapshot = self._inner.labels[fold], start
            for snapshot in trainer.run(labels, self._seeds, start, groups=groups, report=report):
                if len(snapshot.finished) < len(self.stages):
                    report(snapshot, trainer.epochs(snapshot.stage))
        trainer.release()
        assert snapshot is not None  # the last one has every stage finished
        return snapshot

    def trained(self, snapshot: Snapshot) -> Trained:
        """Returns what the next stage needs of a last snapshot, in host memory.

        The parameters are those that its stages trained, since another candidate may have other
        parameters in the next stage.
        """
        stages = [self._trainer.stage(name).groups for name in snapshot.finished]
        params = {
            name: jax.tree.map(np.asarray, x)
            for name, x in snapshot.state.best.items()
            if any(set(jax.tree.leaves(groups[name])) != {FROZEN} for groups in stages)
        }
        return Trained(params, dict(snapshot.finished))

    def losses(self, fold: int, snapshot: Snapshot) -> dict[str, np.ndarray]:
        """Computes each head's loss [S] on the holdout group; infinite for a seed that failed.

        The loss of classes is cross-entropy in nats, without class weights and label smoothing. The
        logits are divided by the temperature with the lowest loss, because trained models are
        calibrated, so that the confidence of the bare network does not matter.
        """
        rows = self._inner.parts[fold].rows["valid"]
        inputs = rows.inputs._replace(features=jax.tree.map(np.asarray, rows.features))
        labels = self._inner.labels[fold]["valid"]
        reference = self._objective.reference(self._inner.labels[fold]["train"])
        scores = self._score(snapshot.state.best, inputs, labels, reference)
        losses = {}
        for name, outcome in snapshot.finished.items():
            converged = (outcome.best_epoch > 0) & ~outcome.failed.any(-1)
            for index, head in enumerate(self._trainer.heads(name)):
                loss = np.asarray(scores[head], np.float64)
                losses[head] = np.where(converged[:, index] & np.isfinite(loss), loss, np.inf)
        return losses


def _scoring(system: System, objective: Objective) -> Callable[..., dict[str, Any]]:
    heads = [head for stage in system.stages() for head in stage.heads]

    def calibrated(answers, labels, reference):
        tally = objective.tally(answers, labels, reference)
        summed = objective.summed(answers, labels, reference, TEMPERATURES)
        return objective.valid_losses(tally[None], summed[None]).min()

    def score(params, inputs, labels, reference):
        def score_seed(params):
            logits, _ = system.apply({"params": params}, inputs)
            return {head: calibrated(logits[head], labels, reference) for head in heads}

        return jax.lax.map(score_seed, params)

    return score
