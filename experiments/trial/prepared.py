"""What an experiment needs, read from its config and checked before anything is trained."""

import dataclasses
from typing import Any

import jax
import ml_collections
import numpy as np

from experiments.terminal.screen import Screen
from experiments.trial import results, settings
from mman_jax.data import columns, protocols, suspicions
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, prepare
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.synthetic import process as synthetic
from mman_jax.errors import InputError, within
from mman_jax.systems import build
from mman_jax.training import mesh as parallel
from mman_jax.training.outcome import Snapshot, converged
from mman_jax.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything an experiment needs, checked, before anything is trained or written."""

    config: ml_collections.ConfigDict
    parts: Parts
    tasks: tuple[protocols.Task, ...]
    labels: dict[str, dict[str, np.ndarray]]
    trainer: Trainer
    notices: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the run."""
        return list(range(self.config.first_seed, self.config.first_seed + self.config.seeds))

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
    corpus = read_corpus(data.path) if data.path is not None else synthetic.synthetic_corpus()
    names = [name.strip() for name in data.modalities.split(",") if name.strip()]
    return corpus.select_modalities(names) if names else corpus


def prepare_experiment(config: ml_collections.ConfigDict) -> Experiment:
    """Reads and checks everything that a config names; compiles and writes nothing.

    Raises:
        InputError: if something cannot be used.
    """
    settings.check_numbers(config)
    corpus = load_corpus(config.data)
    tasks = protocols.tasks(corpus, config.data.protocol)
    parts = prepare(corpus)
    labels = {task.name: parts.labels(task) for task in tasks}
    mismatch = protocols.check_table_1(corpus)
    with within("config"):
        classes = len(tasks[0].classes)
        system = build(config.network, list(corpus.dims), classes)
        shards = (config.mesh.seeds, config.mesh.rows)
        mesh = parallel.make_mesh(config.seeds, config.parallel, *shards)
        trainer = Trainer(
            system, config.train, parts.rows, classes, mesh, config.parallel, config.data.stream
        )
        for stage in trainer.stages:
            trainer.stage(stage)  # an uncovered parameter is said before anything is written
    settings.check_memory(config, trainer, parts.rows)
    unusual = columns.unusual(corpus, parts.scaling, parts.split.train)
    notices = (*corpus.source_notes, parts.split.how)
    notices += (*([mismatch] if mismatch else []), *map(str, unusual))
    notices += (*parts.split.notices, *suspicions.of_tasks(corpus, parts.split, tasks))
    return Experiment(config, parts, tasks, labels, trainer, notices)
