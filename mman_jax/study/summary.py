"""The content of `results.json` of the paper command: every number of its report."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import synthetic
from mman_jax.data.label_names import is_iemocap
from mman_jax.evaluation import evidence, paired, significance
from mman_jax.study import pooled
from mman_jax.study.plan import ABLATION, BASELINE, CITED, PAPER, System
from mman_jax.systems import build
from mman_jax.systems.mman import CLAIMS, NAME
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import over_seeds
from mman_jax.trial import results
from mman_jax.trial.config import network
from mman_jax.trial.corpora import modalities as selected
from mman_jax.trial.folder import provenance
from mman_jax.trial.trial import Trial

Folders = Mapping[str, Sequence[Mapping[str, pathlib.Path]]]

MARGIN = 0.02
"""Two systems count as level if the interval of their difference is within ± this margin."""

_EDGES = (0, 1, 2, 4, 8, 16, 32, 64)


def summarise(
    systems: Sequence[System],
    folders: Folders,
    tasks: Folders,
    fold_trials: Sequence[Trial],
    command: str,
) -> dict[str, Any]:
    """Returns all data of the report.

    Args:
        folders: for each system the folders of its trial, then of each tower's, by fold.
        tasks: the folders of the systems on the one-vs-rest tasks; may be empty.
        fold_trials: a trial per fold with all modalities, for corpus, split and labels.
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
        "utterances": {
            # Numbers instead of names, which may identify people.
            "conversation": np.unique(utterances["conversation"], return_inverse=True)[1].tolist(),
            "position": list(utterances["position"]),
        },
        "systems": by_system,
        "comparisons": comparisons,
        "positions": by_position(
            task, {name: values[name] for name in paper}, utterances["position"]
        ),
        **task.describe(),
        "claims": judge(comparisons, totals, task.margin_scale),
        "tasks": _tasks(tasks),
        "synthetic": _synthetic(fold_trials, utterances, answers),
        # A system with one modality has no score without it.
        "missing": {n: x for n, x in missing.items() if x and by_system[n]["group"] == PAPER}
        or None,
    }


def _system(
    system: System, trials: Sequence[Mapping[str, Any]], task: str, modalities: Sequence[str]
) -> dict[str, Any]:
    trial, *_ = trials
    scores = trial["tasks"][task]
    answering = trial["seconds"].get("answering")
    wanted, cells = selected(system.config.data) or modalities, system.config.data.cells
    built = build(network(system.config), wanted, 2)
    headline = from_results(scores).headline.key
    fields = ("validation", "test", "test_oracle", "best_epoch", "towers", "curves", "failed")
    optional = ("folds", "ensemble", "before_refit", "towers_mean", "context")
    return {
        "title": system.title,
        "group": system.group,
        "baseline": system.baseline,
        "about": system.about,
        **{name: scores[name] for name in fields},
        **{name: scores[name] for name in optional if name in scores},
        **({"seal": trial["seal"]["digest"]} if "seal" in trial else {}),
        "parameters": trial["parameters"] | {"trainable": scores["trainable"]},
        "interval": list(significance.seed_interval(scores["test"][headline]["per_seed"])),
        "seconds": sum(map(_seconds, trials)),
        # The seconds per prediction, if the trial measured them, and the inputs of a prediction.
        **({} if answering is None else {"answering": answering / len(scores["answers"][0])}),
        "sees": results.sees(built, cells),
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
    external, (corpus, _) = fold_trials[0].external, fold_trials[0].corpora
    by_fold = [results.of_corpus(x.parts, x.labels[task.name], task) for x in fold_trials]
    fields = by_fold[0] if len(by_fold) == 1 else pooled.corpora(by_fold)
    counts = {name: getattr(corpus, name) for name in ("sessions", "speakers")}
    fields |= external.about() if external else {}
    fields |= {name: len(set(values)) if values else None for name, values in counts.items()}
    return fields | {"iemocap": is_iemocap(corpus)}


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


def verdict(kind: str, low: float, high: float, margin: float = MARGIN) -> str:
    """Returns `yes`, `no` or `undecided`, from the 95 % interval of the difference.

    Args:
        kind: `more` or `level`, see `mman_jax.systems.mman.CLAIMS`.
        margin: largest difference of two systems that are level.
    """
    if kind == "level":
        yes, no = low > -margin and high < margin, high < -margin or low > margin
    else:
        yes, no = low > 0, high < 0
    return "yes" if yes else "no" if no else "undecided"


def judge(
    comparisons: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, int],
    spread: float | None = None,
) -> list[dict[str, Any]]:
    """Returns the verdict on each claim whose two systems were compared.

    Args:
        spread: `Task.margin_scale`, the factor of the margin; None: 1.
    """
    verdicts = []
    margin = MARGIN if spread is None else MARGIN * spread
    within = f"{100 * MARGIN:.0f} points" if spread is None else f"{margin:.3g}"
    by_pair = {(c["first"], c["second"]): c for c in comparisons}
    for claim, first, second, kind in CLAIMS:
        comparison = by_pair.get((first, second))
        if comparison is None:
            continue  # one of the two systems was not trained
        low, high = comparison["interval"]
        note = "yes if the 95 % interval lies above zero, no if it lies below"
        if kind == "level":
            ratio = parameters[first] / parameters[second]
            note = (
                f"yes if the 95 % interval lies within ±{within}; the first has "
                f"{100 * ratio:.0f} % of the second's parameters"
            )
        verdicts.append(
            {
                "claim": claim,
                "first": first,
                "second": second,
                "verdict": verdict(kind, low, high, margin),
                "difference": comparison["difference"],
                "interval": [low, high],
                "p": comparison["p_bootstrap"],
                "note": note,
            }
        )
    return verdicts


def by_position(task: Task, values: Mapping[str, np.ndarray], positions: Any) -> dict[str, Any]:
    """Returns the headline score by an utterance's position in its conversation.

    The positions of the bins count from 1, both ends included.

    Args:
        values: `Task.score_each` [S, N] of each system.
        positions: [N], from 0.
    """
    positions = np.asarray(positions)
    bins = [
        (low, high, (positions >= low) & (positions < high))
        for low, high in zip(_EDGES, [*_EDGES[1:], np.inf], strict=True)
    ]
    bins = [(low, high, inside) for low, high, inside in bins if inside.any()]
    return {
        "bins": [
            {
                "from": low + 1,
                "to": None if high == np.inf else high,
                "utterances": int(inside.sum()),
            }
            for low, high, inside in bins
        ],
        task.headline.key: {
            name: [float(x[:, inside].mean()) for _, _, inside in bins]
            for name, x in values.items()
        },
    }
