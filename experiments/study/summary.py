"""`results.json` of the paper command: every number of its report."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study import claims, fitting
from experiments.study.towers import ABLATION, PAPER, System
from experiments.trial import results
from experiments.trial.prepared import Experiment
from experiments.trial.provenance import provenance
from mman_jax.data import protocols
from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import ceiling
from mman_jax.data.synthetic import process as synthetic
from mman_jax.evaluation import evidence, significance


def summarise(
    systems: Sequence[System],
    folders: Mapping[str, Sequence[pathlib.Path]],
    tasks: Mapping[str, Sequence[pathlib.Path]],
    experiment: Experiment,
    command: str,
) -> dict[str, Any]:
    """Everything that the report says.

    Args:
        systems: of the plan.
        folders: what was trained for each system: its own folder, then those of its towers.
        tasks: the same of the systems trained on the one-vs-rest tasks; may be empty.
        experiment: of one of the systems, for the corpus, the split and the labels.
        command: how to do it again.
    """
    task = experiment.tasks[0]
    found = {system.name: _system(system, folders[system.name], task.name) for system in systems}
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
        "seconds": sum(
            sum(one["seconds"] for one in fitting.read(folder).values())
            for folder in sorted({f for own in folders.values() for f in own})
        ),
        "corpus": _corpus(experiment, task),
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
        "synthetic": _synthetic(experiment, utterances, answers),
        "missing": _missing(systems, folders, task.name),
    }


def _system(system: System, folders: Sequence[pathlib.Path], task: str) -> dict[str, Any]:
    own, *towers = [fitting.read(folder)[task] for folder in folders]
    kept = (
        "validation",
        "test",
        "test_oracle",
        "best_epoch",
        "towers",
        "parameters",
        "curves",
        "failed",
    )
    return {
        "title": system.title,
        "group": system.group,
        "baseline": system.baseline,
        "about": system.about,
        **{name: own[name] for name in kept},
        "interval": list(significance.seed_interval(own["test"]["accuracy"]["per_seed"])),
        "seconds": own["seconds"] + sum(tower["seconds"] for tower in towers),
        "answers": own["answers"],
        "attention": own["attention"],
        "utterances": own["utterances"],
    }


def _anonymous(utterances: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Which conversation of the test part each utterance is of, by number, and where in it."""
    _, numbers = np.unique(utterances["conversation"], return_inverse=True)
    return {"conversation": numbers.tolist(), "position": list(utterances["position"])}


def _pairs(systems: Sequence[System]) -> list[tuple[str, str]]:
    """Every pair of the paper's systems, those of the claims first; each ablation with its
    baseline."""
    paper = [s.name for s in systems if s.group == PAPER]
    named = [(first, second) for _, first, second, _ in claims.CLAIMS]
    others = [
        (b, a) for a, b in itertools.combinations(paper, 2) if {(a, b), (b, a)}.isdisjoint(named)
    ]
    return [*named, *others, *((s.name, s.baseline) for s in systems if s.group == ABLATION)]


def _corpus(experiment: Experiment, task: protocols.Task) -> dict[str, Any]:
    corpus: Corpus = experiment.parts.corpus
    return results.of_corpus(experiment.parts, experiment.labels[task.name], task) | {
        "sessions": len(set(corpus.sessions)) if corpus.sessions else None,
        "speakers": len(set(corpus.speakers)) if corpus.speakers else None,
        "iemocap": protocols.is_iemocap(corpus),
    }


def _missing(
    systems: Sequence[System], folders: Mapping[str, Sequence[pathlib.Path]], task: str
) -> dict[str, Any] | None:
    scores = {
        system.name: fitting.read(folders[system.name][0])[task]["missing"]
        for system in systems
        if system.group == PAPER
    }
    # One modality's system has nothing left to answer from.
    return {name: found for name, found in scores.items() if found} or None


def _tasks(folders: Mapping[str, Sequence[pathlib.Path]]) -> dict[str, Any] | None:
    if not folders:
        return None
    found: dict[str, Any] = {}
    for system, (own, *_) in folders.items():
        found[system] = {}
        for task, scores in fitting.read(own).items():
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
    experiment: Experiment, utterances: Mapping[str, Sequence[Any]], answers: Mapping[str, Any]
) -> dict[str, Any] | None:
    if experiment.config.data.path is not None:
        return None
    process, corpus = synthetic.process(), experiment.parts.corpus
    shares, kinds = evidence.used(corpus, utterances, answers)
    test = experiment.parts.split.test
    return {
        "ceiling": ceiling.ceiling(process, corpus, test),
        "ceiling_late_fusion": ceiling.ceiling(process, corpus, test, "late"),
        "evidence": shares,
        "kinds": kinds,
    }
