"""One experiment from its config to its results: the way of the data, in order."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from mman_jax.data import protocols
from mman_jax.data.synthetic import ceiling, word_ceiling
from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole
from mman_jax.training import mesh, processes
from mman_jax.training.outcome import Snapshot, of_seeds
from mman_jax.trial import (
    analysis,
    boards,
    calibration,
    clips,
    folder,
    grouped,
    joining,
    results,
    saving,
    training,
)
from mman_jax.trial.calibration import Answered
from mman_jax.trial.config import title
from mman_jax.trial.prepared import Experiment, prepare_experiment
from mman_jax.trial.progress import Progress
from mman_jax.trial.provenance import provenance
from mman_jax.trial.refit import refit
from mman_jax.trial.stored import read_results


def run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    progress: Progress,
    shown: Sequence[str] = (),
    towers: Mapping[str, pathlib.Path] | None = None,
    looks: bool = False,
) -> dict[str, Any]:
    """Trains, scores and writes a whole experiment, or goes on with one that was interrupted.

    Among several processes each calls this; the first one writes, and all read the same folder.

    Args:
        config: see `configs/mman.py`.
        workdir: gets `config.json`, `results.json`, `analysis.json` (see `analysis.of_task`),
            learning curves (`curves`), pictures, checkpoints and the trained model.
        progress: where progress is shown.
        shown: the boards (`boards.WHERE`) where learning curves go, too.
        towers: the folders of finished trials, one for each head of the first stage by its name:
            it is not trained again. None: it is.
        looks: whether `analysis.json` also tells of attention and of missing modalities.

    Raises:
        InputError: if the config or its corpus cannot be used; nothing is written then.
    """
    if config.data.folds and not config.data.fold:
        raise InputError("config.data.fold", "none", "the name of one fold; a trial is of one")
    boards.check(shown)  # a missing extra is said before anything is written
    chosen = json.loads(config.to_json())
    del chosen["distributed"]  # where a run runs, not what it is
    done = finished(workdir, chosen)
    if done:
        progress.line(f"{workdir} holds this run, finished: nothing to do")
        progress.table(done)
        return done
    experiment = prepare_experiment(config)
    for notice in experiment.notices:
        progress.notice(notice)
    extraction = clips.beside(config.data.path)
    tested, first = experiment.tested, processes.is_first()
    own, other = (tested.own, tested.corpus) if tested else (experiment.parts.corpus, None)
    folder.claim(workdir, chosen, own, first, other)
    if processes.is_first() and extraction is not None:
        write_whole(clips.place(workdir), extraction)
    found, told = {}, {}
    with mesh.compiling(quickly=experiment.small):
        for task in experiment.tasks:
            own = (shown, towers or {}, looks)
            found[task.name], told[task.name] = _train(experiment, task, workdir, progress, *own)
    summary = _summary(experiment, found)
    if processes.is_first():
        write_whole(workdir / analysis.NAME, _json(told))
        write(workdir, summary)
    processes.wait("results.json")  # it is there when any process ends
    progress.table(summary)
    return summary


def _train(
    experiment: Experiment,
    task: protocols.Task,
    workdir: pathlib.Path,
    progress: Progress,
    shown: Sequence[str],
    towers: Mapping[str, pathlib.Path],
    looks: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains one task and writes its model; the scores, and what else is told of it."""

    def begin():
        return joining.begin(experiment, task, towers)

    snapshot, seconds = training.fit(
        experiment, task, workdir, progress, begin if towers else None, shown
    )
    used, end = experiment, snapshot
    if experiment.config.train.refit:
        used, end, again = refit(experiment, task, snapshot, workdir, progress, towers)
        seconds = seconds | {"refit": again}
    kept, failed = experiment.survivors(end, progress)
    given = analysis.answered(used, task, end.state.best, kept)
    seconds["answering"] = _answering(used, task, end)
    told = analysis.of_task(used, task, end, kept, looks, given["test"])
    told["sizes"] = results.sizes(experiment.parts, experiment.labels[task.name])
    seeds = [seed for seed, keep in zip(experiment.seeds, kept, strict=True) if keep]
    scores = results.of_task(task, of_seeds(end.finished, kept), experiment.heads)
    if used is not experiment:
        saving.save_model(experiment, task, _of(snapshot, kept), seeds, workdir / joining.CHOSEN)
        before = of_seeds(snapshot.finished, kept)
        scores["before_refit"] = results.tests(results.of_task(task, before, experiment.heads))
        told["counts"]["before_refit"] = results.counts(before, experiment.heads)
    together = results.scores(told["counts"]["ensemble"]["test"], experiment.targets)
    scores["ensemble"] = {"test": together}
    temperature = 1.0
    if not experiment.targets:  # of numbers nobody is sure
        # Networks that were trained on validation, too, are surer of it than of anything else.
        held_out = given["valid"]
        if used is not experiment:
            held_out = analysis.answered(experiment, task, snapshot.state.best, kept)["valid"]
        temperature = _of_classes(task, held_out, given["test"], told, scores)
    params = _of(end, kept)
    saving.save_model(used, task, params, seeds, workdir / "model", temperature)
    scores |= {"seeds": seeds, "failed": failed}
    return scores | {"seconds": seconds, "parameters": experiment.parameters(params)}, told


def _of_classes(
    task: protocols.Task,
    held_out: Answered,
    test: Answered,
    told: dict[str, Any],
    scores: dict[str, Any],
) -> float:
    """Adds calibration and groups to what is told of a task of classes; its temperature."""
    told["calibration"] = calibration.of_answers(held_out, test)
    scores["groups"] = grouped.scores(told["answers"], told["utterances"], len(task.classes))
    for part in calibration.PARTS:
        scores[part]["calibration"] = calibration.errors(told["calibration"], part)
    return told["calibration"]["temperature"]


def _answering(experiment: Experiment, task: protocols.Task, snapshot: Snapshot) -> float:
    """Seconds that one seed takes to answer the scored test utterances, by what is compiled."""
    began = time.monotonic()
    experiment.trainer.answers(snapshot.state.best)
    each = (time.monotonic() - began) / len(experiment.seeds) / experiment.trainer.answered
    parts = experiment.parts
    sizes = results.sizes(parts, experiment.labels[task.name])
    # Where cells are words, an utterance is as many answers as it has words.
    cells = len(parts.cells.labels) / len(parts.corpus.labels)
    return each * cells * sizes["test"]["utterances"]


def _of(snapshot: Snapshot, kept: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[kept], processes.whole(snapshot.state.best))


def _summary(experiment: Experiment, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of `results.json`."""
    first = next(iter(found.values()))
    one = len(experiment.tasks) == 1
    task = experiment.tasks[0]
    head = {
        "system": title(experiment.config),
        "protocol": experiment.config.data.protocol,
        "corpus": results.of_corpus(
            experiment.parts, experiment.labels[task.name] if one else None, task
        )
        | (experiment.tested.about() if experiment.tested else {}),
        "seeds": experiment.seeds,
        "row_order": "one for all seeds" if experiment.trainer.streamed else "each seed's own",
        "parameters": first["parameters"],
        **provenance(),
    }
    scores = {
        name: {k: v for k, v in one_task.items() if k != "parameters"}
        for name, one_task in found.items()
    }
    if one:
        return head | scores[task.name] | _ceilings(experiment)
    stages = first["seconds"]
    seconds = {stage: sum(s["seconds"][stage] for s in scores.values()) for stage in stages}
    return head | {"seconds": seconds, "tasks": scores}


def _ceilings(experiment: Experiment) -> dict[str, float]:
    if experiment.config.data.path is not None:
        return {}
    of = word_ceiling if experiment.parts.laid.kind != "utterances" else ceiling
    return of.bounds(experiment.parts.corpus, experiment.parts.split.test)


def write(workdir: pathlib.Path, summary: dict[str, Any]) -> None:
    """The pictures of all tasks of classes, and at last `results.json`: where it is, all is."""
    from mman_jax.report import confusion

    tasks = summary.get("tasks") or {summary["protocol"]: summary}
    for task, scores in tasks.items():
        if "targets" in scores:
            continue
        title = f"{summary['system']}, {task}: test, {len(summary['seeds'])} seed(s) summed"
        name = "confusion.png" if len(tasks) == 1 else f"confusion_{task}.png"
        picture = confusion.confusions(
            {title: scores["test"]["confusion"]}, scores["classes"], counted=True
        )
        write_whole(workdir / name, picture)
    write_whole(workdir / "results.json", _json(summary))


def finished(workdir: pathlib.Path, chosen: dict[str, Any]) -> dict[str, Any] | None:
    """The results of this very run, if they are there; refuses a folder of another one.

    Raises:
        InputError: another run's folder, or damaged results.
    """
    ours = folder.holds(workdir, chosen)
    written = workdir / "results.json"
    if not (ours and written.is_file()):
        return None
    return read_results(written)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
