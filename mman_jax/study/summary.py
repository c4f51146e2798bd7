"""`results.json` of the paper command: every number of its report."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import synthetic
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import is_iemocap
from mman_jax.evaluation import evidence, significance
from mman_jax.study import claims, pooled
from mman_jax.study.plan import ABLATION, CITED, PAPER, System
from mman_jax.systems import build
from mman_jax.systems.mman import CLAIMS, NAME
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import over_seeds
from mman_jax.trial import grouped, results
from mman_jax.trial.config import network
from mman_jax.trial.folder import provenance
from mman_jax.trial.trial import Trial

Folders = Mapping[str, Sequence[Mapping[str, pathlib.Path]]]


def summarise(
    systems: Sequence[System],
    folders: Folders,
    tasks: Folders,
    experiments: Sequence[Trial],
    command: str,
) -> dict[str, Any]:
    """Everything that the report says.

    Args:
        systems: of the plan.
        folders: what was trained for each system: its own trial, then those of its towers, each a
            folder a fold.
        tasks: the same of the systems trained on the one-vs-rest tasks; may be empty.
        experiments: of one system on all modalities, one a fold, for corpus, split and labels.
        command: how to do it again.
    """
    experiment, *_ = experiments
    task = experiment.tasks[0]
    every = {tuple(one.values()): one for own in folders.values() for one in own}
    trials = {key: pooled.read(one) for key, one in every.items()}
    own = {name: [trials[tuple(one.values())] for one in of] for name, of in folders.items()}
    modalities = list(experiment.parts.corpus.dims)
    found = {
        system.name: _system(system, own[system.name], task.name, modalities) for system in systems
    }
    missing = {system.name: found[system.name].pop("missing") for system in systems}
    utterances = found[systems[0].name].pop("utterances")
    for other in list(found.values())[1:]:
        if other.pop("utterances") != utterances:
            raise AssertionError("systems were scored on different utterances")
    answers = {name: system.pop("answers") for name, system in found.items()}
    labels, paper = utterances["label"], [s.name for s in systems if s.group == PAPER]
    values = {name: task.score_each(x, labels) for name, x in answers.items()}
    for name, of_system in values.items():
        found[name] |= task.store_each(of_system)
    comparisons = [
        {"first": first, "second": second}
        | claims.compare(task, answers[first], answers[second], utterances)
        for first, second in _pairs(systems)
    ]
    first = found[systems[0].name]["test"]
    totals = {name: system["parameters"]["total"] for name, system in found.items()}
    return {
        "command": command,
        **provenance(),
        "config": {system.name: system.config.to_dict() for system in systems},
        "seconds": sum(_seconds(trial) for trial in trials.values()),
        "corpus": _corpus(experiments, task),
        "protocol": experiment.config.data.protocol,
        "classes": list(task.classes),
        "seeds": experiment.seeds,
        task.constant: first[task.constant],
        "utterances": _anonymous(utterances),
        "systems": found,
        "comparisons": comparisons,
        "positions": claims.by_position(
            task, {name: values[name] for name in paper}, utterances["position"]
        ),
        **task.describe(),
        "claims": claims.judge(comparisons, totals, task.margin_scale),
        "tasks": _tasks(tasks),
        "synthetic": _synthetic(experiments, utterances, answers),
        # One modality's system has nothing left to answer from.
        "missing": {n: x for n, x in missing.items() if x and found[n]["group"] == PAPER} or None,
    }


def _system(
    system: System, trials: Sequence[Mapping[str, Any]], task: str, modalities: Sequence[str]
) -> dict[str, Any]:
    whole, *_ = trials
    own = whole["tasks"][task]
    headline = from_results(own).headline.key
    kept = ("validation", "test", "test_oracle", "best_epoch", "towers", "curves", "failed")
    return {
        "title": system.title,
        "group": system.group,
        "baseline": system.baseline,
        "about": system.about,
        **{name: own[name] for name in kept},
        **{name: own[name] for name in ("folds", "ensemble", "before_refit") if name in own},
        "parameters": whole["parameters"] | {"trainable": own["trainable"]},
        "interval": list(significance.seed_interval(own["test"][headline]["per_seed"])),
        "seconds": sum(map(_seconds, trials)),
        **_answering(whole, len(own["utterances"]["label"])),
        "sees": _sees(system, modalities),
        "seeds": own["seeds"],
        "answers": own["answers"],
        "attention": own.get("attention"),
        "missing": own.get("missing"),
        "calibration": own.get("calibration"),
        "groups": grouped.anonymous(own.get("groups", {})),
        "utterances": own["utterances"],
    }


def _seconds(trial: Mapping[str, Any]) -> float:
    return sum(x for what, x in trial["seconds"].items() if what != "answering")


def _answering(trial: Mapping[str, Any], utterances: int) -> dict[str, float]:
    """The seconds that an answer takes, where the trial measured it."""
    seconds = trial["seconds"].get("answering")
    return {} if seconds is None else {"answering": seconds / utterances}


def _sees(system: System, modalities: Sequence[str]) -> dict[str, Any]:
    """What a prediction is made from."""
    data = system.config.data
    wanted = [name for name in data.modalities.split(",") if name] or modalities
    built = build(network(system.config), wanted, 2)
    return {
        "cells": data.cells,
        "context": data.cells == "utterances" and built.in_context,
        "future": not built.causal,
    }


def _anonymous(utterances: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Which conversation of the test part each utterance is of, by number, and where in it."""
    _, numbers = np.unique(utterances["conversation"], return_inverse=True)
    return {"conversation": numbers.tolist(), "position": list(utterances["position"])}


def _pairs(systems: Sequence[System]) -> list[tuple[str, str]]:
    """Every pair of the paper's systems, those of the claims first; MMAN with each cited system;
    each ablation with its baseline; of these all that were trained."""
    names = {system.name for system in systems}
    paper = [s.name for s in systems if s.group == PAPER]
    named = [(first, second) for _, first, second, _ in CLAIMS]
    others = [
        (b, a) for a, b in itertools.combinations(paper, 2) if {(a, b), (b, a)}.isdisjoint(named)
    ]
    cited = [(NAME, s.name) for s in systems if s.group == CITED]
    varied = [(s.name, s.baseline or "") for s in systems if s.group == ABLATION]
    return [pair for pair in (*named, *others, *cited, *varied) if names.issuperset(pair)]


def _corpus(experiments: Sequence[Trial], task: Task) -> dict[str, Any]:
    external = experiments[0].external
    corpus: Corpus = external.training if external else experiments[0].parts.corpus
    told = [results.of_corpus(one.parts, one.labels[task.name], task) for one in experiments]
    found = told[0] if len(told) == 1 else pooled.corpora(told)
    return (
        found
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
    found: dict[str, Any] = {}
    for system, (own, *_) in folders.items():
        found[system] = {}
        for task, scores in pooled.read(own)["tasks"].items():
            labels = np.asarray(scores["utterances"]["label"])
            answers = np.asarray(scores["answers"])
            both = ((answers == 1) & (labels == 1)).sum(1)
            f1 = 2 * both / np.maximum((answers == 1).sum(1) + (labels == 1).sum(), 1)
            found[system][task] = {
                "accuracy": scores["test"]["accuracy"],
                "f1": over_seeds(f1),
                "no_accuracy": float((labels == 0).mean()),
                "utterances": len(labels),
            }
    return found


def _synthetic(
    experiments: Sequence[Trial],
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Any],
) -> dict[str, Any] | None:
    if experiments[0].config.data.path is not None:
        return None
    corpus = experiments[0].parts.corpus
    shares, beside, kinds = evidence.used(corpus, utterances, answers)
    test = np.concatenate([one.parts.split.test for one in experiments])
    found = {"evidence": shares, "evidence_beside": beside, "kinds": kinds}
    return synthetic.bounds(corpus, test) | found
