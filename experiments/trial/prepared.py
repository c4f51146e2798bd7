"""What an experiment needs, read from its config and checked before anything is trained."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from experiments.terminal.screen import Screen
from experiments.trial import results, settings
from mman_jax.data import columns, folds, protocols, suspicions
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.splits import Split, split
from mman_jax.data.synthetic.process import synthetic_corpus
from mman_jax.data.synthetic.words import words_corpus
from mman_jax.data.words import Words, words
from mman_jax.errors import InputError, within
from mman_jax.systems import SYSTEMS, build
from mman_jax.training import mesh as parallel
from mman_jax.training.outcome import Snapshot, converged
from mman_jax.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything an experiment needs, checked, before anything is trained or written.

    `small` says whether its programs are worth no more than quick compilation.
    """

    config: ml_collections.ConfigDict
    parts: Parts
    tasks: tuple[protocols.Task, ...]
    labels: dict[str, dict[str, np.ndarray]]
    trainer: Trainer
    notices: tuple[str, ...]
    small: bool

    @property
    def seeds(self) -> list[int]:
        """The seeds of the run."""
        return list(range(self.config.first_seed, self.config.first_seed + self.config.seeds))

    @functools.cached_property
    def groups(self) -> np.ndarray | None:
        """Groups [R + 1, U] of training conversations, where a stage learns from answers by those
        that did not see them; -1 is padding."""
        train = self.config.train
        if all(train[stage].get("answers") != "out_of_fold" for stage in self.trainer.stages):
            return None
        corpus, train = self.parts.corpus, self.parts.split.train
        group = np.full(len(corpus.lengths), -1)
        group[train] = folds.inner_groups(corpus, train, folds.INNER)
        found = np.full(self.parts.rows["train"].mask.shape, -1)
        positions = self.parts.layouts["train"].positions
        found.reshape(-1)[positions] = group[self.parts.whose("train")[0]]
        return found

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The heads of every stage, in order."""
        return {stage: self.trainer.heads(stage) for stage in self.trainer.stages}

    def survivors(self, snapshot: Snapshot, screen: Screen) -> tuple[np.ndarray, list[Any]]:
        """Which seeds converged, [S] bool, and where the others failed; they are told, too.

        Raises:
            InputError: if none did.
        """
        failed = results.failures(snapshot.finished, self.seeds, self.heads)
        if len(failed) == len(self.seeds):
            raise InputError(
                "training",
                f"every seed failed, the first at {results.failure(failed[0])}",
                "training that converges (a smaller learning rate)",
            )
        for place in failed:
            screen.notice(f"left out, since it failed: {results.failure(place)}")
        return converged(snapshot.finished), failed

    def parameters(self, params: Any) -> dict[str, int]:
        """Numbers of parameters, from all seeds' [S, ...]."""
        heads = [head for several in self.heads.values() for head in several]
        return results.parameters(jax.tree.map(lambda x: x[0], params), heads)


def load_corpus(data: ml_collections.ConfigDict) -> Corpus:
    """The corpus that a config names, reduced to the modalities that it names."""
    pool = None if data.cells == "words" else "mean"
    if data.path is None:
        corpus = words_corpus() if data.cells == "words" else synthetic_corpus()
    else:
        corpus = read_corpus(data.path, pool=pool)
    names = _names(data)
    if names and data.pivot not in ("", *names):
        names.append(data.pivot)
    return corpus.select_modalities(names) if names else corpus


def load_words(config: ml_collections.ConfigDict, corpus: Corpus) -> Words | None:
    """The words of a corpus, where a config's cells are words, and what is in them where its system
    reads that.

    Raises:
        InputError: a corpus without any, or of which they cannot be told.
    """
    data = config.data
    if data.cells != "words":
        return None
    system = SYSTEMS.get(config.network.get("system", "mman"))
    inside = system is not None and system.inside  # an unknown one is refused where it is built
    return words(corpus, data.pivot, data.words, inside, _names(data))


def _names(data: ml_collections.ConfigDict) -> list[str]:
    return [name.strip() for name in data.modalities.split(",") if name.strip()]


def choose_split(
    data: ml_collections.ConfigDict, corpus: Corpus, tasks: tuple[protocols.Task, ...]
) -> tuple[Split, tuple[str, ...]]:
    """The split that a config names (of folds without a `fold`, the first), and what to tell.

    Raises:
        InputError: if there is none such, or nothing could be trained or scored by it.
    """
    if not data.folds:
        if data.fold:
            raise InputError("data.fold", f"{data.fold!r} without folds", "data.folds, too")
        return split(corpus, data.split), ()
    if data.split:
        found = f"{data.split!r}, and folds by {data.folds}"
        raise InputError("data.split", found, "one of the two")
    if data.fold:
        fold = folds.fold(corpus, data.folds, data.fold)
    else:
        fold, *_ = folds.folds(corpus, data.folds)
    return fold.split, folds.check(corpus, (fold,), tasks)


def prepare_experiment(config: ml_collections.ConfigDict) -> Experiment:
    """Reads and checks everything that a config names; compiles and writes nothing.

    Raises:
        InputError: if something cannot be used.
    """
    settings.check_numbers(config)
    corpus = load_corpus(config.data)
    tasks = protocols.tasks(corpus, config.data.protocol)
    chosen, lacking = choose_split(config.data, corpus, tasks)
    laid = load_words(config, corpus)
    parts, conversations = _parts(config.data, corpus, chosen, laid)
    labels = {task.name: parts.labels(task) for task in tasks}
    mismatch = protocols.check_table_1(corpus)
    trainer = _trainer(config, parts, len(tasks[0].classes), conversations)
    settings.check_memory(config, trainer, parts.rows)
    unusual = columns.unusual(parts.cells, parts.scaling, parts.layouts["train"].conversations)
    notices = (*corpus.source_notes, parts.split.how, *(laid.notices() if laid else ()))
    notices += (*([mismatch] if mismatch else []), *map(str, unusual))
    notices += (*parts.split.notices, *lacking, *suspicions.of_tasks(corpus, parts.split, tasks))
    small = settings.is_small(trainer, parts.rows, config.seeds)
    made = Experiment(config, parts, tasks, labels, trainer, notices, small)
    _ = made.groups  # too few conversations for them are said before anything is written
    return made


def on_split(experiment: Experiment, split: Split) -> Experiment:
    """The same experiment on another split, scaled by its training conversations."""
    parts = prepare(experiment.parts.corpus, split, words=experiment.parts.words)
    labels = {task.name: parts.labels(task) for task in experiment.tasks}
    trainer = _trainer(experiment.config, parts, len(experiment.tasks[0].classes))
    return dataclasses.replace(experiment, parts=parts, labels=labels, trainer=trainer)


def _parts(
    data: ml_collections.ConfigDict, corpus: Corpus, chosen: Split, laid: Words | None
) -> tuple[Parts, int | None]:
    """The parts of a split, and what lies in rows of an epoch; those of folds share programs."""
    if not data.folds:
        return prepare(corpus, chosen, words=laid), None
    several = [fold.split for fold in folds.folds(corpus, data.folds)]
    shapes = common_shapes(corpus, several, laid)
    return prepare(corpus, chosen, shapes, laid), _most_items(corpus, several, laid)


def _most_items(corpus: Corpus, several: Sequence[Split], laid: Words | None) -> int:
    """The most conversations, or where cells are words utterances, that any split trains on."""
    trained = [split.train for split in several]
    return max(len(t) if laid is None else int(corpus.lengths[t].sum()) for t in trained)


def _trainer(
    config: ml_collections.ConfigDict,
    parts: Parts,
    classes: int,
    conversations: int | None = None,
) -> Trainer:
    with within("config"):
        network = settings.network(config, parts.words)
        system = build(network, list(parts.cells.dims), classes)
        shards = (config.mesh.seeds, config.mesh.rows)
        mesh = parallel.make_mesh(config.seeds, config.parallel, *shards)
        trainer = Trainer(
            system,
            settings.training(config, parts.corpus, parts.words),
            parts.rows,
            classes,
            mesh,
            config.parallel,
            config.data.stream,
            conversations,
        )
        for stage in trainer.stages:
            trainer.stage(stage)  # an uncovered parameter is said before anything is written
    return trainer
