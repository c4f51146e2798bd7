"""One experiment from its config to its results: the way of the data, in order."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from experiments.terminal.screen import Screen
from experiments.trial import clips, folder, results, settings, training
from experiments.trial import curves as logs
from experiments.trial.provenance import provenance
from experiments.trial.stored import read_results
from mman_jax.data import columns, protocols
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, prepare
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.synthetic import ceiling
from mman_jax.data.synthetic import process as synthetic
from mman_jax.errors import InputError, within
from mman_jax.files.whole import write_whole
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.training import mesh as parallel
from mman_jax.training import processes
from mman_jax.training.outcome import Snapshot, converged, of_seeds
from mman_jax.training.trainer import Trainer


def load_corpus(data: ml_collections.ConfigDict) -> Corpus:
    """The corpus that a config names, reduced to the modalities that it names."""
    corpus = read_corpus(data.path) if data.path is not None else synthetic.synthetic_corpus()
    names = [name.strip() for name in data.modalities.split(",") if name.strip()]
    return corpus.select_modalities(names) if names else corpus


def run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    screen: Screen,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Trains, scores and writes a whole experiment, or goes on with one that was interrupted.

    Among several processes each calls this; the first one writes, and all read the same folder.

    Args:
        config: see `configs/mman.py`.
        workdir: gets `config.json`, `results.json`, learning curves (`logs`), pictures,
            checkpoints and the trained model.
        screen: where progress is shown.
        tensorboard: whether curves go to `workdir/tensorboard`, too.

    Raises:
        InputError: if the config or its corpus cannot be used; nothing is written then.
    """
    if tensorboard:
        logs.tensorboard_writer()  # a missing extra is said before anything is written
    chosen = json.loads(config.to_json())
    del chosen["distributed"]  # where a run runs, not what it is
    done = _finished(workdir, chosen)
    if done:
        screen.line(f"{workdir} holds this run, finished: nothing to do")
        screen.table(done)
        return done
    experiment = prepare_experiment(config)
    screen.line(f"config: {folder.shown(chosen)}")
    for notice in experiment.notices:
        screen.notice(notice)
    extraction = clips.beside(config.data.path)
    folder.claim(workdir, chosen, experiment.parts.corpus, processes.is_first())
    if processes.is_first() and extraction is not None:
        write_whole(clips.place(workdir), extraction)
    found = {
        task.name: experiment.train(task, workdir, screen, tensorboard) for task in experiment.tasks
    }
    summary = experiment.summary(found)
    if processes.is_first():
        _write(workdir, summary, found)
    processes.wait("results.json")  # it is there when any process ends
    screen.table(summary)
    return summary


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

    def train(
        self,
        task: protocols.Task,
        workdir: pathlib.Path,
        screen: Screen,
        tensorboard: bool = False,
    ) -> dict[str, Any]:
        """Trains one task and writes its model; the scores."""
        snapshot, seconds = training.fit(self, task, workdir, screen, tensorboard=tensorboard)
        kept, failed = self.survivors(snapshot, screen)
        params = jax.tree.map(lambda x: x[kept], processes.whole(snapshot.state.best))
        seeds = [seed for seed, keep in zip(self.seeds, kept, strict=True) if keep]
        if processes.is_first():
            self._save_model(task, params, seeds, workdir)
        finished = of_seeds(snapshot.finished, kept)
        scores = results.of_task(task, finished, self.heads)
        scores |= {"seeds": seeds, "failed": failed}
        return scores | {"seconds": seconds, "parameters": self.parameters(params)}

    def summary(self, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The content of `results.json`."""
        first = next(iter(found.values()))
        one = len(self.tasks) == 1
        task = self.tasks[0]
        head = {
            "system": self.config.system,
            "protocol": self.config.data.protocol,
            "corpus": results.of_corpus(self.parts, self.labels[task.name] if one else None, task),
            "seeds": self.seeds,
            "parameters": first["parameters"],
            **provenance(),
        }
        scores = {
            name: {k: v for k, v in one_task.items() if k != "parameters"}
            for name, one_task in found.items()
        }
        if one:
            return head | scores[task.name] | self._ceilings()
        stages = first["seconds"]
        seconds = {stage: sum(s["seconds"][stage] for s in scores.values()) for stage in stages}
        return head | {"seconds": seconds, "tasks": scores}

    def _ceilings(self) -> dict[str, float]:
        if self.config.data.path is not None:
            return {}
        process, corpus = synthetic.process(), self.parts.corpus
        test = self.parts.split.test
        return {
            "ceiling": ceiling.ceiling(process, corpus, test),
            "ceiling_late_fusion": ceiling.ceiling(process, corpus, test, "late"),
        }

    def parameters(self, params: Any) -> dict[str, int]:
        """Numbers of parameters, from all seeds' [S, ...]."""
        heads = [head for several in self.heads.values() for head in several]
        return results.parameters(jax.tree.map(lambda x: x[0], params), heads)

    def _save_model(
        self, task: protocols.Task, params: Any, seeds: list[int], workdir: pathlib.Path
    ) -> None:
        about = {
            "system": self.config.system,
            "protocol": self.config.data.protocol,
            "task": task.name,
            "corpus": self.parts.corpus.source,
            "seeds": seeds,
        }
        network = self.config.network.to_dict()
        dims = self.parts.corpus.dims
        model = Model(params, self.parts.scaling, network, dims, task.classes, about)
        model.save(workdir / "model" / task.name)


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
    unusual = columns.unusual(corpus, parts.scaling, parts.split.train)
    notices = (parts.split.how, *([mismatch] if mismatch else []), *map(str, unusual))
    return Experiment(config, parts, tasks, labels, trainer, notices)


def _write(workdir: pathlib.Path, summary: dict[str, Any], found: dict[str, Any]) -> None:
    """The pictures of all tasks, and at last `results.json`: where it is, all is."""
    from experiments.report import confusion

    for task, scores in found.items():
        title = f"{summary['system']}, {task}: test, {len(summary['seeds'])} seed(s) summed"
        name = "confusion.png" if len(found) == 1 else f"confusion_{task}.png"
        picture = confusion.confusion(scores["test"]["confusion"], scores["classes"], title)
        write_whole(workdir / name, picture)
    write_whole(workdir / "results.json", _json(summary))


def _finished(workdir: pathlib.Path, chosen: dict[str, Any]) -> dict[str, Any] | None:
    """The results of this very run, if they are there; refuses a folder of another one."""
    ours = folder.holds(workdir, chosen)
    written = workdir / "results.json"
    if not (ours and written.is_file()):
        return None
    return read_results(written)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
