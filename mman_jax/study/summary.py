"""The content of `results.json` of the paper command: every number of its report."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import synthetic
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import is_iemocap
from mman_jax.evaluation import evidence, paired, significance
from mman_jax.study import claims, pooled
from mman_jax.study.plan import ABLATION, BASELINE, CITED, PAPER, System
from mman_jax.systems import build
from mman_jax.systems.mman import CLAIMS, NAME
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import over_seeds
from mman_jax.trial import results
from mman_jax.trial.config import network
from mman_jax.trial.folder import provenance
from mman_jax.trial.trial import Trial

Folders = Mapping[str, Sequence[Mapping[str, pathlib.Path]]]


def summarise(
    systems: Sequence[System],
    folders: Folders,
    tasks: Folders,
    fold_trials: Sequence[Trial],
    command: str,
) -> dict[str, Any]:
    """Returns all data of the report.

    Args:
        systems: systems of the plan.
        folders: for each system the folders of its trial, then of each tower's, by fold.
        tasks: the folders of the systems on the one-vs-rest tasks; may be empty.
        fold_trials: a trial per fold with all modalities, for corpus, split and labels.
        command: command that repeats the study.
    """
    first_trial, *_ = fold_trials
    task = first_trial.tasks[0]
    unique = {tuple(paths.values()): paths for trials in folders.values() for paths in trials}
    stored = {key: pooled.read(paths) for key, paths in unique.items()}
    trials_of = {
        name: [stored[tuple(paths.values())] for paths in trials]
        for name, trials in folders.items()
    }
    modalities = list(first_trial.parts.corpus.dims)
    by_system = {
        system.name: _system(system, trials_of[system.name], task.name, modalities)
        for system in systems
    }
    missing = {system.name: by_system[system.name].pop("missing") for system in systems}
    utterances = by_system[systems[0].name].pop("utterances")
    for other in list(by_system.values())[1:]:
        if other.pop("utterances") != utterances:
            raise AssertionError("systems were scored on different utterances")
    answers = {name: system.pop("answers") for name, system in by_system.items()}
    labels, paper = utterances["label"], [s.name for s in systems if s.group == PAPER]
    values = {name: task.score_each(x, labels) for name, x in answers.items()}
    for name, of_system in values.items():
        by_system[name] |= task.store_each(of_system)
    comparisons = [
        {"first": first, "second": second}
        | paired.compare(task, answers[first], answers[second], utterances)
        for first, second in _pairs(systems)
    ]
    first = by_system[systems[0].name]["test"]
    totals = {name: system["parameters"]["total"] for name, system in by_system.items()}
    return {
        "command": command,
        **provenance(),
        "config": {system.name: system.config.to_dict() for system in systems},
        "seconds": sum(_seconds(trial) for trial in stored.values()),
        "corpus": _corpus(fold_trials, task),
        "protocol": first_trial.protocol,
        "classes": list(task.classes),
        "seeds": first_trial.seeds,
        task.constant: first[task.constant],
        "resampled": paired.units(utterances).about(),
        "utterances": _anonymous(utterances),
        "systems": by_system,
        "comparisons": comparisons,
        "positions": claims.by_position(
            task, {name: values[name] for name in paper}, utterances["position"]
        ),
        **task.describe(),
        "claims": claims.judge(comparisons, totals, task.margin_scale),
        "tasks": _tasks(tasks),
        "synthetic": _synthetic(fold_trials, utterances, answers),
        # Systems of one modality have none that could be left out.
        "missing": {n: x for n, x in missing.items() if x and by_system[n]["group"] == PAPER}
        or None,
    }


def _system(
    system: System, trials: Sequence[Mapping[str, Any]], task: str, modalities: Sequence[str]
) -> dict[str, Any]:
    trial, *_ = trials
    scores = trial["tasks"][task]
    headline = from_results(scores).headline.key
    fields = ("validation", "test", "test_oracle", "best_epoch", "towers", "curves", "failed")
    optional = ("folds", "ensemble", "before_refit", "towers_mean")
    return {
        "title": system.title,
        "group": system.group,
        "baseline": system.baseline,
        "about": system.about,
        **{name: scores[name] for name in fields},
        **{name: scores[name] for name in optional if name in scores},
        "parameters": trial["parameters"] | {"trainable": scores["trainable"]},
        "interval": list(significance.seed_interval(scores["test"][headline]["per_seed"])),
        "seconds": sum(map(_seconds, trials)),
        **_answering(trial, len(scores["utterances"]["label"])),
        "sees": _sees(system, modalities),
        "seeds": scores["seeds"],
        "answers": scores["answers"],
        "attention": scores.get("attention"),
        "missing": scores.get("missing"),
        "calibration": scores.get("calibration"),
        "groups": results.anonymous(scores.get("groups", {})),
        "utterances": scores["utterances"],
    }


def _seconds(trial: Mapping[str, Any]) -> float:
    return sum(x for what, x in trial["seconds"].items() if what != "answering")


def _answering(trial: Mapping[str, Any], utterances: int) -> dict[str, float]:
    """Returns the seconds per prediction, if the trial measured them."""
    seconds = trial["seconds"].get("answering")
    return {} if seconds is None else {"answering": seconds / utterances}


def _sees(system: System, modalities: Sequence[str]) -> dict[str, Any]:
    """Describes the inputs of a prediction."""
    data = system.config.data
    wanted = [name for name in data.modalities.split(",") if name] or modalities
    built = build(network(system.config), wanted, 2)
    return {
        "cells": data.cells,
        "context": data.cells == "utterances" and built.in_context,
        "future": not built.causal,
    }


def _anonymous(utterances: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Returns the number of each utterance's conversation, and the position in it."""
    _, numbers = np.unique(utterances["conversation"], return_inverse=True)
    return {"conversation": numbers.tolist(), "position": list(utterances["position"])}


def _pairs(systems: Sequence[System]) -> list[tuple[str, str]]:
    """Returns the pairs of trained systems to compare.

    These are all pairs of the paper's systems, with those of the claims first; MMAN with each cited
    system; each ablation with its baseline; and each system of the paper with the linear baseline.
    """
    names = {system.name for system in systems}
    paper = [s.name for s in systems if s.group == PAPER]
    named = [(first, second) for _, first, second, _ in CLAIMS]
    others = [
        (b, a) for a, b in itertools.combinations(paper, 2) if {(a, b), (b, a)}.isdisjoint(named)
    ]
    cited = [(NAME, s.name) for s in systems if s.group == CITED]
    varied = [(s.name, s.baseline or "") for s in systems if s.group == ABLATION]
    linear = [(name, s.name) for s in systems if s.group == BASELINE for name in paper]
    return [pair for pair in (*named, *others, *cited, *varied, *linear) if names.issuperset(pair)]


def _corpus(fold_trials: Sequence[Trial], task: Task) -> dict[str, Any]:
    external = fold_trials[0].external
    corpus: Corpus = external.training if external else fold_trials[0].parts.corpus
    by_fold = [results.of_corpus(x.parts, x.labels[task.name], task) for x in fold_trials]
    fields = by_fold[0] if len(by_fold) == 1 else pooled.corpora(by_fold)
    return (
        fields
        | (external.about() if external else {})
        | {
            "sessions": len(set(corpus.sessions)) if corpus.sessions else None,
            "speakers": len(set(corpus.speakers)) if corpus.speakers else None,
            "iemocap": is_iemocap(corpus),
        }
    )


def _tasks(folders: Folders) -> dict[str, Any] | None:
    if not folders:
        return None
    by_system: dict[str, Any] = {}
    for system, (paths, *_) in folders.items():
        by_system[system] = {}
        for task, scores in pooled.read(paths)["tasks"].items():
            labels = np.asarray(scores["utterances"]["label"])
            answers = np.asarray(scores["answers"])
            both = ((answers == 1) & (labels == 1)).sum(1)
            f1 = 2 * both / np.maximum((answers == 1).sum(1) + (labels == 1).sum(), 1)
            by_system[system][task] = {
                "accuracy": scores["test"]["accuracy"],
                "f1": over_seeds(f1),
                "no_accuracy": float((labels == 0).mean()),
                "utterances": len(labels),
            }
    return by_system


def _synthetic(
    fold_trials: Sequence[Trial],
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Any],
) -> dict[str, Any] | None:
    if not fold_trials[0].synthetic:
        return None
    corpus = fold_trials[0].parts.corpus
    shares, references, kinds = evidence.used(corpus, utterances, answers)
    test = np.concatenate([trial.parts.split.test for trial in fold_trials])
    fields = {"evidence": shares, "evidence_beside": references, "kinds": kinds}
    return synthetic.bounds(corpus, test) | fields
