"""The run of a trial, from its config to its results."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import synthetic
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import read_json, write_whole
from mman_jax.inference import familiarity
from mman_jax.inference.model import Model
from mman_jax.tasks import Task
from mman_jax.training import mesh, processes
from mman_jax.training.state import Snapshot, of_seeds
from mman_jax.trial import analysis, baseline, boards, clips, folder, results, seal, training
from mman_jax.trial.progress import Progress
from mman_jax.trial.training import Towers
from mman_jax.trial.trial import Trial, prepare_trial


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    progress: Progress,
    board_names: Sequence[str] = (),
    towers: Towers | None = None,
    analyse: bool = False,
    with_baseline: bool = True,
) -> dict[str, Any]:
    """Trains, scores and writes a trial, or resumes an interrupted one.

    If there are several processes, each calls this function; only the first one writes, and all
    read the same folder.

    Args:
        config: see `trial.run`.
        workdir: gets `config.json`, `results.json`, `analysis.json` (see `analysis.of_task`),
            learning curves (`curves`), pictures, checkpoints and the trained model.
        board_names: boards (`boards.WHERE`) that also show the learning curves.
        towers: towers that are already trained; by default the first stage is trained.
        analyse: whether to also analyse attention, missing modalities and the use of context.
        with_baseline: whether to also fit and score the linear baseline.
    """
    if config.data.folds and not config.data.fold:
        raise InputError("config.data.fold", "none", "the name of a fold, one for each trial")
    boards.check(board_names)  # a missing extra is reported before anything is written
    seal.package()  # cached now, as the digest of the files that run
    stored_config = json.loads(config.to_json())
    del stored_config["distributed"]  # describes the processes, not the trial
    finished = folder.finished(workdir, stored_config, progress)
    if finished:
        return finished
    trial = prepare_trial(config)
    for notice in trial.notices:
        progress.notice(notice)
    extraction = clips.beside(config.data.path)
    if extraction:
        Extraction.load(extraction)  # reports a damaged file now, before it is needed
    folder.claim(workdir, stored_config, *trial.corpora, write=processes.is_first())
    if processes.is_first() and extraction:
        write_whole(clips.place(workdir), extraction.read_bytes())
    scores, analyses = {}, {}
    with mesh.compiling(quickly=trial.small):
        for task in trial.tasks:
            scores[task.name], analyses[task.name] = _train(
                trial, task, workdir, progress, board_names, towers or {}, analyse, with_baseline
            )
    summary = _summary(trial, scores)
    if processes.is_first():
        corpora = read_json(workdir / folder.CORPUS)
        data = (trial.parts, trial.labels, corpora)
        summary["seal"] = seal.make(stored_config, *data, analyses, trial.seeds)
        write_whole(workdir / analysis.NAME, folder.to_json(analyses))
        folder.write_results(workdir, summary)
    processes.wait("results.json")  # no process ends before the file exists
    progress.table(summary)
    return summary


def _train(
    trial: Trial,
    task: Task,
    workdir: pathlib.Path,
    progress: Progress,
    board_names: Sequence[str],
    towers: Towers,
    analyse: bool,
    with_baseline: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains one task and writes its model; returns its scores and analyses."""
    selected, seconds = training.fit(trial, task, workdir, progress, towers, board_names)
    last_trial, last = trial, selected
    if trial.refit:
        last_trial, last, seconds["refit"] = training.refit(
            trial, task, selected, workdir, progress, towers
        )
    converged, failed = trial.survivors(last, progress)
    system = trial.trainer.system.head
    heads = analysis.answered(last_trial, task, last.state.best, converged)
    seconds["answering"] = _seconds_of_answering(last_trial, task, last)
    analyses = analysis.of_task(last_trial, task, last, converged, analyse, heads)
    analyses["sizes"] = results.sizes(trial.parts, trial.labels[task.name])
    seeds = [seed for seed, ok in zip(trial.seeds, converged, strict=True) if ok]
    scores = results.of_task(task, of_seeds(last.finished, converged), trial.heads)
    results.add_distances(scores, analyses)
    selected_params = _best_params(selected, converged)
    turns = analysis.choose_turns(trial, task, selected_params)
    if trial.refit:
        _save_model(trial, task, selected_params, seeds, workdir / training.SELECTED, turns)
        finished = of_seeds(selected.finished, converged)
        before = results.of_task(task, finished, trial.heads)
        towers_before = {name: {"test": of["test"]} for name, of in before["towers"].items()}
        scores["before_refit"] = {"test": before["test"], "towers": towers_before}
        analyses["counts"]["before_refit"] = results.tallies(finished, trial.heads)
    # Networks that are also trained on the validation part are not scored or calibrated on it.
    selecting = heads
    if trial.refit:
        selecting = analysis.answered(trial, task, selected.state.best, converged)
    mean_of_valid = analysis.towers_mean(trial, task, selecting, "valid")
    mean_of_test = analysis.towers_mean(last_trial, task, heads, "test")
    if mean_of_valid and mean_of_test:
        means = {"validation": mean_of_valid[0], "test": mean_of_test[0]}
        analyses["counts"]["towers_mean"], analyses["mean_answers"] = means, mean_of_test[1]
        scores["towers_mean"] = {part: task.scores(np.array(x)) for part, x in means.items()}
    scores["ensemble"] = {"test": task.scores(analyses["counts"]["ensemble"]["test"])}
    temperature = 1.0
    if task.has_probabilities:
        calibrated = analysis.calibrated(selecting[system]["valid"], heads[system]["test"])
        for part in analysis.PARTS:
            scores[part]["calibration"] = analysis.calibration_errors(calibrated, part)
        analyses["calibration"], temperature = calibrated, calibrated["temperature"]
        utterances, classes = analyses["utterances"], len(task.classes)
        scores["groups"] = results.group_scores(analyses["answers"], utterances, classes)
    began = time.monotonic()
    linear = baseline.fit(trial, last_trial, task, progress) if with_baseline else None
    if linear is not None:
        scores["baseline"], answers_and_counts = linear
        analyses |= answers_and_counts
        seconds["baseline"] = time.monotonic() - began
    results.add_intervals(task, scores, analyses)
    if analyses.get("context_answers"):
        scores["context"] = results.of_context(task, analyses)
    params = _best_params(last, converged)
    if turns is not None:
        scores["in_turn"] = analysis.in_turn(last_trial, task, params, turns)
    _save_model(last_trial, task, params, seeds, workdir / "model", turns, temperature)
    scores |= {"seeds": seeds, "failed": failed}
    return scores | {"seconds": seconds, "parameters": trial.parameters(params)}, analyses


def _seconds_of_answering(trial: Trial, task: Task, snapshot: Snapshot) -> float:
    """Measures the seconds that one compiled seed takes to predict the scored test utterances."""
    began = time.monotonic()
    trial.trainer.answers(snapshot.state.best)
    parts = trial.parts
    answered = sum(int(parts.rows[part].mask.sum()) for part in ("valid", "test"))
    each = (time.monotonic() - began) / len(trial.seeds) / answered
    sizes = results.sizes(parts, trial.labels[task.name])
    # If cells are words, each word of an utterance has a prediction.
    cells = len(parts.cells.corpus.labels) / len(parts.corpus.labels)
    return each * cells * sizes["test"]["utterances"]


def _best_params(snapshot: Snapshot, chosen: np.ndarray) -> Any:
    """Returns the best parameters of some seeds ([S] bool), gathered on every process."""
    return jax.tree.map(lambda x: x[chosen], processes.gather(snapshot.state.best))


def _save_model(
    trial: Trial,
    task: Task,
    params: Any,
    seeds: list[int],
    models: pathlib.Path,
    turns: float | None,
    temperature: float = 1.0,
) -> None:
    """Writes the trained model of a task into a folder, in the first of several processes."""
    if not processes.is_first():
        return
    about: dict[str, Any] = {
        "system": trial.title,
        "protocol": trial.protocol,
        "task": task.name,
        "corpus": trial.parts.corpus.source,
        "seeds": seeds,
    }
    if trial.external:
        about["test_corpus"] = trial.external.card()
    parts, cells = trial.parts, trial.parts.cells
    model = Model(
        params,
        dataclasses.replace(parts.scaling, turns=turns),
        trial.network,
        cells.dims,
        task.classes,
        about,
        temperature=temperature,
        units=trial.reference(task),
        cells=type(cells),
        cell_options=cells.card() or {},
        context=parts.context,
        familiarity=familiarity.fit(parts.rows["train"]) if cells.vectors else None,
    )
    model.save(models / task.name)


def _summary(trial: Trial, scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the content of `results.json`."""
    task, single = trial.tasks[0], len(trial.tasks) == 1
    first = scores[task.name]
    labels = trial.labels[task.name] if single else None
    corpus = results.of_corpus(trial.parts, labels, task)
    if trial.external:
        corpus |= trial.external.about()
    head = {
        "system": trial.title,
        "protocol": trial.protocol,
        "corpus": corpus,
        "seeds": trial.seeds,
        "row_order": "one for all seeds" if trial.trainer.streamed else "each seed's own",
        "parameters": first["parameters"],
        "class": trial.config.system,
        "sees": results.sees(trial.trainer.system, trial.parts.cells.kind),
        **folder.provenance(),
    }
    by_task = {
        name: {field: value for field, value in fields.items() if field != "parameters"}
        for name, fields in scores.items()
    }
    if single:
        # The best accuracies that a synthetic corpus allows.
        known = (trial.parts.corpus, trial.parts.split.test)
        return head | by_task[task.name] | (synthetic.bounds(*known) if trial.synthetic else {})
    seconds = {
        stage: sum(fields["seconds"].get(stage, 0.0) for fields in by_task.values())
        for stage in first["seconds"]
    }
    return head | {"seconds": seconds, "tasks": by_task}
