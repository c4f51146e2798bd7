"""`results.json` of the paper command: every number of its report."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study import claims, pooled
from experiments.study.towers import ABLATION, PAPER, System
from experiments.trial import results
from experiments.trial.prepared import Experiment
from experiments.trial.provenance import provenance
from mman_jax.data import protocols
from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import ceiling, word_ceiling
from mman_jax.evaluation import evidence, significance

Folders = Mapping[str, Sequence[Mapping[str, pathlib.Path]]]


def summarise(
    systems: Sequence[System],
    folders: Folders,
    tasks: Folders,
    experiments: Sequence[Experiment],
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
    found = {system.name: _system(system, own[system.name], task.name) for system in systems}
    missing = {system.name: found[system.name].pop("missing") for system in systems}
    utterances = found[systems[0].name].pop("utterances")
    for other in list(found.values())[1:]:
        if other.pop("utterances") != utterances:
            raise AssertionError("systems were scored on different utterances")
    answers = {name: system.pop("answers") for name, system in found.items()}
    labels = np.asarray(utterances["label"])
    for name, given in answers.items():
        # A digit an utterance, 1 where right: enough for any test, and no corpus is passed on.
        right = (np.asarray(given) == labels).astype(int)
        found[name]["right"] = ["".join(map(str, seed)) for seed in right.tolist()]
    comparisons = [
        {"first": first, "second": second}
        | claims.compare(answers[first], answers[second], utterances, len(task.classes))
        for first, second in _pairs(systems)
    ]
    paper = {s.name: answers[s.name] for s in systems if s.group == PAPER}
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
        "majority_accuracy": found[systems[0].name]["test"]["majority_accuracy"],
        "utterances": _anonymous(utterances),
        "systems": found,
        "comparisons": comparisons,
        "positions": claims.by_position(paper, utterances),
        "claims": claims.judge(comparisons, totals),
        "tasks": _tasks(tasks),
        "synthetic": _synthetic(experiments, utterances, answers),
        # One modality's system has nothing left to answer from.
        "missing": {n: x for n, x in missing.items() if x and found[n]["group"] == PAPER} or None,
    }


def _system(system: System, trials: Sequence[Mapping[str, Any]], task: str) -> dict[str, Any]:
    whole, *_ = trials
    own = whole["tasks"][task]
    kept = ("validation", "test", "test_oracle", "best_epoch", "towers", "curves", "failed")
    return {
        "title": system.title,
        "group": system.group,
        "baseline": system.baseline,
        "about": system.about,
        **{name: own[name] for name in kept},
        **{name: own[name] for name in ("folds", "ensemble", "before_refit") if name in own},
        "parameters": whole["parameters"] | {"trainable": own["trainable"]},
        "interval": list(significance.seed_interval(own["test"]["accuracy"]["per_seed"])),
        "seconds": sum(map(_seconds, trials)),
        "answers": own["answers"],
        "attention": own.get("attention"),
        "missing": own.get("missing"),
        "utterances": own["utterances"],
    }


def _seconds(trial: Mapping[str, Any]) -> float:
    return sum(trial["seconds"].values())


def _anonymous(utterances: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Which conversation of the test part each utterance is of, by number, and where in it."""
    _, numbers = np.unique(utterances["conversation"], return_inverse=True)
    return {"conversation": numbers.tolist(), "position": list(utterances["position"])}


def _pairs(systems: Sequence[System]) -> list[tuple[str, str]]:
    """Every pair of the paper's systems, those of the claims first; each ablation with its
    baseline, if that was trained, too."""
    names = {system.name for system in systems}
    paper = [s.name for s in systems if s.group == PAPER]
    named = [(first, second) for _, first, second, _ in claims.CLAIMS]
    others = [
        (b, a) for a, b in itertools.combinations(paper, 2) if {(a, b), (b, a)}.isdisjoint(named)
    ]
    varied = [(s.name, s.baseline) for s in systems if s.group == ABLATION]
    return [pair for pair in (*named, *others, *varied) if names.issuperset(pair)]


def _corpus(experiments: Sequence[Experiment], task: protocols.Task) -> dict[str, Any]:
    corpus: Corpus = experiments[0].parts.corpus
    told = [results.of_corpus(one.parts, one.labels[task.name], task) for one in experiments]
    return (told[0] if len(told) == 1 else pooled.corpora(told)) | {
        "sessions": len(set(corpus.sessions)) if corpus.sessions else None,
        "speakers": len(set(corpus.speakers)) if corpus.speakers else None,
        "iemocap": protocols.is_iemocap(corpus),
    }


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
                "f1": results.spread(f1),
                "no_accuracy": float((labels == 0).mean()),
                "utterances": len(labels),
            }
    return found


def _synthetic(
    experiments: Sequence[Experiment],
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Any],
) -> dict[str, Any] | None:
    if experiments[0].config.data.path is not None:
        return None
    corpus = experiments[0].parts.corpus
    shares, kinds = evidence.used(corpus, utterances, answers)
    test = np.concatenate([one.parts.split.test for one in experiments])
    of = word_ceiling if corpus.sequences else ceiling
    return of.bounds(corpus, test) | {"evidence": shares, "kinds": kinds}
