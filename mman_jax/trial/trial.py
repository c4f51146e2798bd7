"""Trials: one system on one corpus, checked before anything is trained or written."""

import copy
import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import cross_corpus, folds, warnings
from mman_jax.data.cells.utterances import Cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import check_table_1
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.splits import Split, split
from mman_jax.errors import InputError, within
from mman_jax.systems import build, for_outputs, use
from mman_jax.systems.base import BaseSystem
from mman_jax.tasks import Task, check_folds
from mman_jax.training import mesh as parallel
from mman_jax.training.learner import Learner, make_learner
from mman_jax.training.state import Snapshot, converged
from mman_jax.trial import clips, results
from mman_jax.trial import config as configs
from mman_jax.trial.corpora import EACH, External, load_cells, load_corpora, scaling_rule
from mman_jax.trial.progress import Progress
from mman_jax.types import Batch

_FLOPS = 6
"""Floating-point operations per parameter and cell (or frame): two forward, four backward."""

_SMALL = 1e11
"""Number of operations that one core computes in a few seconds."""

_MAPPINGS = 20_000
"""Memory mappings after which compiled programs are dropped; Linux allows a process 65 530."""

_COPIES = 5
"""Arrays of the parameters' size in training: current, best, gradients and Adam's two moments."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One system on one corpus: the objects that a config describes.

    Attributes:
        config: the config of the trial.
        title: name of the trial in results and reports.
        protocol: name of the protocol in results.
        refit: whether to retrain on the training and validation parts together.
        checkpoint_seconds: seconds of work that an interruption may lose.
        synthetic: whether the corpus is a synthetic one, whose best accuracy is known.
        parts: rows of the corpus.
        tasks: the tasks to train; more than one only for one-vs-rest protocols.
        labels: labels [R + 1, U] of each part, by the task's name.
        network: settings of the system, as a model stores them.
        trainer: the trainer of the system.
        notices: notices for the user, to be shown before training.
        small: whether its programs are compiled quickly, with fewer optimisations.
        external: another corpus to test on, if any.
    """

    config: ConfigDict
    title: str
    protocol: str
    refit: bool
    checkpoint_seconds: float
    synthetic: bool
    parts: Parts
    tasks: tuple[Task, ...]
    labels: dict[str, dict[str, np.ndarray]]
    network: Mapping[str, Any]
    trainer: Learner
    notices: tuple[str, ...]
    small: bool
    external: External | None = None

    @property
    def seeds(self) -> list[int]:
        """The seeds to train: only the first if the system is not random."""
        return seeds_of(self.config, self.trainer.system)

    @functools.cached_property
    def groups(self) -> np.ndarray | None:
        """Groups [R + 1, U] of training conversations for out-of-fold predictions; -1 is padding.

        None if no stage learns from such predictions.
        """
        return out_of_fold_groups(self.parts, self.trainer, self.config.train)

    @property
    def corpora(self) -> tuple[Corpus, Corpus | None]:
        """The full training corpus, and the other corpus to test on, if any."""
        external = self.external
        return (external.training, external.corpus) if external else (self.parts.corpus, None)

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The heads of every stage, in order."""
        return {stage: self.trainer.heads(stage) for stage in self.trainer.stages}

    def reference(self, task: Task) -> np.ndarray | None:
        """Computes the training statistics that turn logits into predictions, if needed."""
        return task.reference(self.labels[task.name]["train"])

    def survivors(self, snapshot: Snapshot, progress: Progress) -> tuple[np.ndarray, list[Any]]:
        """Returns which seeds converged, [S] bool, and the failures of the others; reports these.

        Raises:
            InputError: no seed converged.
        """
        failed = results.failures(snapshot.finished, self.seeds, self.heads)
        if len(failed) == len(self.seeds):
            found = f"every seed failed, the first at {results.failure(failed[0])}"
            expected = "training that converges (a smaller learning rate)"
            raise InputError("training", found, expected)
        for failure in failed:
            progress.notice(f"a failed seed is left out: {results.failure(failure)}")
        return converged(snapshot.finished), failed

    def parameters(self, params: Any) -> dict[str, int]:
        """Counts the parameters of one seed, given those of all seeds [S, ...]."""
        heads = [head for heads in self.heads.values() for head in heads]
        return results.parameters(jax.tree.map(lambda x: x[0], params), heads)

    def on_split(self, split: Split) -> "Trial":
        """Returns the trial on another split; its training conversations determine the scaling."""
        scale_test = self.external is not None and self.external.scaled_apart
        rule = scaling_rule(self.config.data)
        parts = prepare(self.parts.corpus, split, None, self.parts.cells, scale_test, rule)
        labels = {task.name: parts.labels(task) for task in self.tasks}
        trainer = make_trainer(self.config, parts, self.tasks[0])
        return dataclasses.replace(self, parts=parts, labels=labels, trainer=trainer)


class Data(NamedTuple):
    """The data that a config describes, for training and for checks of trained models.

    Attributes:
        tasks: see `Trial`, also for `parts`, `labels` and `external`.
        conversations: see `Trainer`.
        notices: notices on the corpus and its split.
    """

    tasks: tuple[Task, ...]
    parts: Parts
    labels: dict[str, dict[str, np.ndarray]]
    external: External | None
    conversations: int | None
    notices: tuple[str, ...]


def prepare_data(config: ConfigDict) -> Data:
    """Reads the corpora that a config names, splits them, and checks tasks and labels."""
    configs.check(config)
    corpus, external = load_corpora(config.data)
    tasks = configs.tasks_of(config, corpus)
    split, split_notices = choose_split(config.data, corpus, tasks)
    mismatch = check_table_1(corpus)
    if external is not None:
        corpus, split = cross_corpus.join(corpus, split, external.corpus)
    cells = load_cells(config, corpus)
    parts, conversations = _parts(config.data, corpus, split, cells)
    labels = {task.name: parts.labels(task) for task in tasks}
    notices = (*([mismatch] if mismatch else []), *split_notices)
    return Data(tasks, parts, labels, external, conversations, notices)


def prepare_trial(config: ConfigDict) -> Trial:
    """Reads and checks everything that a config names; compiles and writes nothing."""
    tasks, parts, labels, external, conversations, data_notices = prepare_data(config)
    corpus, cells = parts.corpus, parts.cells
    trainer = make_trainer(config, parts, tasks[0], conversations)
    _check_memory(config, trainer, parts.rows)
    train = parts.layouts["train"].conversations
    unusual = warnings.of_columns(cells.corpus, parts.scaling, train)
    notices = [*corpus.source_notes, parts.split.how, *cells.notices()]
    notices += [*data_notices, *unusual, *parts.split.notices]
    notices += [*warnings.of_split(corpus, parts.split)]
    notices += [x for task in tasks for x in task.check_split(corpus, parts.split)]
    if config.data.folds:
        notices += clips.fitted_notice(config.data.path, corpus)
    if external is not None:
        notices.append(f"the test part is scaled by {external.scaled}")
    notices += trainer.system.notices()
    if len(seeds_of(config, trainer.system)) < config.seeds:
        notices.append("this system is not random: only the first seed is trained")
    trial = Trial(
        config=config,
        title=configs.title(config),
        protocol=config.data.protocol,
        refit=config.train.refit,
        checkpoint_seconds=config.checkpoint_seconds,
        synthetic=config.data.path is None,
        parts=parts,
        tasks=tasks,
        labels=labels,
        network=network(config, tasks[0], cells),
        trainer=trainer,
        notices=tuple(notices),
        small=is_small(trainer, parts.rows, config.seeds),
        external=external,
    )
    _ = trial.groups  # reports too few conversations before anything is written
    return trial


def make_trainer(
    config: ConfigDict,
    parts: Parts,
    task: Task,
    conversations: int | None = None,
    until: str | None = None,
) -> Learner:
    """Makes the trainer of a config's system, and checks the settings of its stages.

    Args:
        conversations: see `Trainer`.
        until: the last stage to train; by default the system's last.
    """
    _drop_programs()
    with within("config"):
        use(config.system)
        system = build(
            network(config, task, parts.cells), list(parts.cells.dims), len(task.classes)
        )
        system.check_data(task.learns, parts.cells.kind)
        system.check_installed()
        if ":" in config.system:
            system.check_outputs(parts.scaling.sizes)
        settings = copy.deepcopy(config.train)
        settings.batch = parts.cells.batch(settings.batch, parts.corpus)
        trainer = make_learner(
            system,
            settings,
            parts.rows,
            classes=len(task.classes),
            mesh=parallel.make_mesh(
                config.seeds, config.parallel, config.mesh.seeds, config.mesh.rows
            ),
            parallel=config.parallel,
            stream=config.data.stream,
            conversations=conversations,
            task=task,
            until=until,
        )
        trainer.check()
    return trainer


def _drop_programs() -> None:
    """Drops compiled programs if there are many: each system takes thousands of mappings."""
    try:
        with open("/proc/self/maps", "rb") as file:
            mappings = sum(1 for _ in file)
    except OSError:  # not Linux
        return
    if mappings > _MAPPINGS:
        jax.clear_caches()


def network(config: ConfigDict, task: Task, cells: Cells) -> Mapping[str, Any]:
    """Returns the settings of a config's system for a task and its cells."""
    settings = configs.network(config)
    if "cells" in settings:
        settings["cells"] = config.data.cells
    settings = cells.network(settings)
    return for_outputs(settings, task.outputs)


def seeds_of(config: ConfigDict, system: BaseSystem) -> list[int]:
    """Returns the seeds of a config: only the first if the system is not random."""
    first = config.first_seed
    return list(range(first, first + (config.seeds if system.stochastic else 1)))


def choose_split(
    data: ConfigDict, corpus: Corpus, tasks: tuple[Task, ...]
) -> tuple[Split, tuple[str, ...]]:
    """Returns a config's split, and notices; for folds without a `fold`, the first one is used.

    Raises:
        InputError: the split does not exist, or leaves nothing to train or score.
    """
    if not data.folds:
        if data.fold:
            raise InputError("data.fold", f"{data.fold!r} without folds", "data.folds as well")
        return split(corpus, data.split), ()
    if data.split:
        found = f"{data.split!r}, and folds by {data.folds}"
        raise InputError("data.split", found, "one of the two")
    if data.fold:
        fold = folds.fold(corpus, data.folds, data.fold)
    else:
        fold, *_ = folds.folds(corpus, data.folds)
    return fold.split, check_folds(corpus, (fold,), tasks)


def out_of_fold_groups(
    parts: Parts, trainer: Learner, settings: Mapping[str, Any]
) -> np.ndarray | None:
    """Returns groups [R + 1, U] of training conversations for out-of-fold predictions.

    Padding is -1. None if no stage learns from such predictions.

    Raises:
        InputError: there are fewer conversations than groups.
    """
    stages = [settings.get(stage) or {} for stage in trainer.stages]
    if all(stage.get("answers") != "out_of_fold" for stage in stages):
        return None
    corpus, train = parts.corpus, parts.split.train
    group = np.full(len(corpus.lengths), -1)
    group[train] = folds.inner_groups(corpus, train, folds.INNER, "config.train.fusion.answers")
    groups = np.full(parts.rows["train"].mask.shape, -1)
    groups.reshape(-1)[parts.layouts["train"].positions] = group[parts.whose("train")[0]]
    return groups


def _parts(
    data: ConfigDict, corpus: Corpus, split: Split, cells: Cells
) -> tuple[Parts, int | None]:
    """Returns the parts of a split, and for folds the largest number of training items of a fold.

    With this number all folds share compiled programs; None without folds.
    """
    rule = scaling_rule(data)
    if not data.folds:
        return prepare(corpus, split, None, cells, data.scale == EACH, rule), None
    splits = [fold.split for fold in folds.folds(corpus, data.folds)]
    items = max(len(cells.items(corpus, other.train)) for other in splits)
    return prepare(corpus, split, common_shapes(corpus, splits, cells), cells, rule=rule), items


def _check_memory(config: ConfigDict, trainer: Learner, rows: Mapping[str, Batch]) -> None:
    """Raises an InputError if a trial needs more memory than is available."""
    parameters = trainer.parameters
    features = sum(x.nbytes for part in rows.values() for x in part.features.values())
    # Rows that do not fit on the devices are streamed, unless the config says otherwise.
    resident = features if config.data.stream is False else 0
    needed = estimate(config.seeds, parameters, resident, config.train.average > 0)
    available = memory()
    if needed > available:
        found = f"{config.seeds} of {parameters} parameters each"
        found += f", and {resident / 1e9:.3g} GB of features" if resident else ""
        raise InputError(
            "config.seeds" if config.seeds > 1 else "config.network",
            f"{found}: training takes about {needed / 1e9:.3g} GB",
            f"at most the available {available / 1e9:.3g} GB",
        )


def estimate(seeds: int, parameters: int, rows: int, averaged: bool = False) -> int:
    """Estimates the smallest number of bytes that training needs, without activations.

    Args:
        rows: bytes of the training data in memory.
        averaged: whether an average of the parameters is also stored.
    """
    return seeds * parameters * 4 * (_COPIES + averaged) + rows


def is_small(trainer: Learner, rows: Mapping[str, Batch], runs: int) -> bool:
    """Returns whether training takes less time than the full optimisation of its programs.

    Args:
        runs: number of trainings with the same programs: seeds times folds.
    """
    epochs = max(trainer.epochs(stage) for stage in trainer.stages)
    cells = sum(
        # The largest number of frames in a cell; 1 if each modality has one vector.
        part.mask.size * max(x.shape[2] if len(x.shape) == 4 else 1 for x in part.features.values())
        for part in rows.values()
    )
    return _FLOPS * trainer.parameters * cells * epochs * runs < _SMALL


def memory() -> int:
    """Returns the memory of the training devices, or of the machines if it is unknown, in bytes."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if jax.default_backend() != "cpu" and all("bytes_limit" in device for device in stats):
        local = sum(device["bytes_limit"] for device in stats)
    else:
        local = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return local * jax.process_count()
