"""What an experiment needs, read from its config and checked before anything is trained."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from mman_jax.data import another, columns, folds, protocols, suspicions
from mman_jax.data.cells.utterances import Cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, common_shapes, prepare
from mman_jax.data.scales import Target
from mman_jax.data.splits import Split, split
from mman_jax.errors import InputError, within
from mman_jax.systems import build, use
from mman_jax.training import mesh as parallel
from mman_jax.training.learner import Learner, make_learner
from mman_jax.training.outcome import Snapshot, converged
from mman_jax.trial import cells, results, settings
from mman_jax.trial import tasks as learnt
from mman_jax.trial.progress import Progress
from mman_jax.trial.tested import EACH, Tested, load_corpora


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything an experiment needs, checked, before anything is trained or written.

    `small` says whether its programs are worth no more than quick compilation; `tested` is the
    other corpus that it is tested on, if there is one.
    """

    config: ml_collections.ConfigDict
    parts: Parts
    tasks: tuple[protocols.Task, ...]
    labels: dict[str, dict[str, np.ndarray]]
    trainer: Learner
    notices: tuple[str, ...]
    small: bool
    tested: Tested | None = None

    @property
    def seeds(self) -> list[int]:
        """The seeds of the run; of an estimator that draws nothing the first, for it is any."""
        first, stochastic = self.config.first_seed, self.trainer.system.stochastic
        return list(range(first, first + (self.config.seeds if stochastic else 1)))

    @functools.cached_property
    def groups(self) -> np.ndarray | None:
        """Groups [R + 1, U] of training conversations, where a stage learns from answers by those
        that did not see them; -1 is padding."""
        train = self.config.train
        stages = [train.get(stage) or {} for stage in self.trainer.stages]
        if all(stage.get("answers") != "out_of_fold" for stage in stages):
            return None
        return out_of_fold_groups(self.parts)

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The heads of every stage, in order."""
        return {stage: self.trainer.heads(stage) for stage in self.trainer.stages}

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is answered, where these are numbers and not classes."""
        return self.tasks[0].targets

    def reference(self, task: protocols.Task) -> np.ndarray:
        """Mean and deviation [2, T] of the targets in training."""
        return np.asarray(self.trainer.objective.reference(self.labels[task.name]["train"]))

    def survivors(self, snapshot: Snapshot, progress: Progress) -> tuple[np.ndarray, list[Any]]:
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
            progress.notice(f"left out, since it failed: {results.failure(place)}")
        return converged(snapshot.finished), failed

    def parameters(self, params: Any) -> dict[str, int]:
        """Numbers of parameters, from all seeds' [S, ...]."""
        heads = [head for several in self.heads.values() for head in several]
        return results.parameters(jax.tree.map(lambda x: x[0], params), heads)


def out_of_fold_groups(parts: Parts) -> np.ndarray:
    """Groups [R + 1, U] of training conversations, for predictions by towers that did not see
    them; -1 is padding.

    Raises:
        InputError: fewer conversations than groups.
    """
    corpus, train = parts.corpus, parts.split.train
    group = np.full(len(corpus.lengths), -1)
    group[train] = folds.inner_groups(corpus, train, folds.INNER, "config.train.fusion.answers")
    groups = np.full(parts.rows["train"].mask.shape, -1)
    groups.reshape(-1)[parts.layouts["train"].positions] = group[parts.whose("train")[0]]
    return groups


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
    corpus, tested = load_corpora(config.data)
    tasks = learnt.of_config(config, corpus)
    chosen, lacking = choose_split(config.data, corpus, tasks)
    mismatch = protocols.check_table_1(corpus)
    if tested is not None:
        corpus, chosen = another.joined(corpus, chosen, tested.corpus)
    laid = cells.load(config, corpus)
    parts, conversations = _parts(config.data, corpus, chosen, laid)
    labels = {task.name: parts.labels(task) for task in tasks}
    trainer = _trainer(config, parts, tasks[0], conversations)
    settings.check_memory(config, trainer, parts.rows)
    small = settings.is_small(trainer, parts.rows, config.seeds)
    unusual = columns.unusual(parts.cells, parts.scaling, parts.layouts["train"].conversations)
    notices = (*corpus.source_notes, parts.split.how, *laid.notices())
    notices += (*([mismatch] if mismatch else []), *map(str, unusual))
    notices += (*parts.split.notices, *lacking, *suspicions.of_tasks(corpus, parts.split, tasks))
    if tested is not None:
        notices += (f"the test part is scaled by {tested.scaled}",)
    made = Experiment(config, parts, tasks, labels, trainer, notices, small, tested)
    _ = made.groups  # too few conversations for them are said before anything is written
    return made


def on_split(experiment: Experiment, split: Split) -> Experiment:
    """The same experiment on another split, scaled by its training conversations."""
    own = experiment.config.data.scale == EACH
    parts = prepare(experiment.parts.corpus, split, None, experiment.parts.laid, scale_test=own)
    labels = {task.name: parts.labels(task) for task in experiment.tasks}
    trainer = _trainer(experiment.config, parts, experiment.tasks[0])
    return dataclasses.replace(experiment, parts=parts, labels=labels, trainer=trainer)


def _parts(
    data: ml_collections.ConfigDict, corpus: Corpus, chosen: Split, laid: Cells
) -> tuple[Parts, int | None]:
    """The parts of a split, and what lies in rows of an epoch; those of folds share programs."""
    if not data.folds:
        return prepare(corpus, chosen, None, laid, scale_test=data.scale == EACH), None
    several = [fold.split for fold in folds.folds(corpus, data.folds)]
    shapes = common_shapes(corpus, several, laid)
    return prepare(corpus, chosen, shapes, laid), _most_items(corpus, several, laid)


def _most_items(corpus: Corpus, several: Sequence[Split], laid: Cells) -> int:
    """The most conversations, or where these are not laid out utterances, that any trains on."""
    trained = [split.train for split in several]
    return max(len(laid.items(corpus, t)) for t in trained)


def _trainer(
    config: ml_collections.ConfigDict,
    parts: Parts,
    task: protocols.Task,
    conversations: int | None = None,
) -> Learner:
    with within("config"):
        classes = len(task.classes)
        use(config.system)
        network = learnt.network(config, task, parts.laid)
        system = build(network, list(parts.cells.dims), classes)
        system.check_data("votes" if config.train.labels == "votes" else "classes", parts.laid.kind)
        if ":" in config.system:
            system.check_outputs(parts.cells.dims)
        mesh = parallel.make_mesh(
            config.seeds, config.parallel, config.mesh.seeds, config.mesh.rows
        )
        trainer = make_learner(
            system,
            settings.training(config, parts.corpus, parts.laid),
            parts.rows,
            classes,
            mesh,
            config.parallel,
            stream=config.data.stream,
            conversations=conversations,
            targets=task.targets,
        )
        trainer.check()  # before anything is written
    return trainer
