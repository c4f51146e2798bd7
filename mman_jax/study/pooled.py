"""Results of stored trials, and of all folds pooled from their tallies, seed by seed."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import over_seeds
from mman_jax.trial import analysis, seal
from mman_jax.trial.results import add_distances, add_intervals, group_scores, of_context
from mman_jax.trial.stored import read_results

Scores = Mapping[str, Any]
_PARTS = ("train", "valid", "test")
_SCORED = ("validation", "test")
_OF_TASK = (
    "classes", "targets", "votes", "validation", "test", "test_oracle", "best_epoch", "towers",
    "seeds", "failed", "seconds", "ensemble", "before_refit", "groups", "baseline", "resampled",
    "towers_mean", "folds", "context",
)  # fmt: skip
"""The fields of a task in `results.json`."""


def read(folders: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """Reads the results of one trial, or pools those of its folds, by the fold's name.

    Returns:
        The content of `results.json`, and under `tasks` the scores of every task with the fields of
        `analysis.json`.

    Raises:
        InputError: a file is damaged, or no seed converged in every fold.
    """
    trials = {name: _read(folder) for name, folder in folders.items()}
    first = next(iter(trials.values()))
    if len(trials) == 1:
        return first
    tasks = {
        task: pool({name: trial["tasks"][task] for name, trial in trials.items()})
        for task in first["tasks"]
    }
    scored = {
        name: sum(task["sizes"]["test"]["utterances"] for task in trial["tasks"].values())
        for name, trial in trials.items()
    }
    folds = list(trials.values())
    results = first | {"tasks": tasks, "corpus": corpora([trial["corpus"] for trial in folds])}
    results["seconds"] = _sum(trial["seconds"] for trial in folds)
    if all("seal" in trial for trial in folds):
        digests = {name: trial["seal"]["digest"] for name, trial in trials.items()}
        results["seal"] = {"folds": digests, "digest": seal.digest(digests)}
    for name in first:
        if name.startswith("ceiling"):
            values = [trial[name] for trial in folds]
            results[name] = float(np.average(values, weights=list(scored.values())))
    return results


def results_of(found: Scores) -> dict[str, Any]:
    """Returns the content of `results.json`, from the result of `read`."""
    tasks = {
        name: {field: value for field, value in task.items() if field in _OF_TASK}
        for name, task in found["tasks"].items()
    }
    head = {name: value for name, value in found.items() if name != "tasks"}
    return head | (next(iter(tasks.values())) if len(tasks) == 1 else {"tasks": tasks})


def corpora(folds: Sequence[Scores]) -> dict[str, Any]:
    """Describes the corpus; the sizes of its parts are summed over the folds."""
    parts = {part: _sum(corpus["parts"][part] for corpus in folds) for part in _PARTS}
    how = f"{len(folds)} folds, each scored once; sizes of parts are summed over them"
    return dict(folds[0]) | {"split": how, "parts": parts}


def _read(folder: pathlib.Path) -> dict[str, Any]:
    results = read_results(folder / "results.json")
    analyses = read_json(folder / analysis.NAME)
    tasks = results.get("tasks") or {results["protocol"]: results}
    by_task = {
        name: {field: task[field] for field in _OF_TASK if field in task} | analyses[name]
        for name, task in tasks.items()
    }
    head = {name: value for name, value in results.items() if name not in _OF_TASK}
    return head | {"seconds": results["seconds"], "seeds": results["seeds"], "tasks": by_task}


def pool(folds: Mapping[str, Scores]) -> dict[str, Any]:
    """Pools one task's scores and analyses over the folds."""
    trials = list(folds.values())
    seeds = [s for s in trials[0]["seeds"] if all(s in fold["seeds"] for fold in trials)]
    if not seeds:
        found = "every seed failed in at least one fold"
        expected = "training that converges (a smaller learning rate)"
        raise InputError("training", found, expected)
    # The indices in each fold of the seeds that converged in all folds.
    chosen = [[fold["seeds"].index(seed) for seed in seeds] for fold in trials]
    task = from_results(trials[0])

    def of_head(*path: str) -> dict[str, Any]:
        folds = [_at(fold, path) for fold in trials]
        tallies = [_at(fold["counts"], path or ("system",)) for fold in trials]
        return _head(task, folds, tallies, chosen)

    def scores(*path: str, seeds: Sequence[list[int]] = chosen) -> dict[str, Any]:
        return _part(task, [_at(fold, path) for fold in trials], seeds)

    def answers(*path: str, seeds: Sequence[list[int]] = chosen) -> list[Any]:
        each = [np.asarray(_at(fold, path))[s] for fold, s in zip(trials, seeds, strict=True)]
        return np.concatenate(each, axis=1).tolist()

    ensemble = np.sum([fold["counts"]["ensemble"]["test"] for fold in trials], axis=0)
    pooled = {
        **task.describe(),
        **of_head(),
        "towers": {name: of_head("towers", name) for name in trials[0]["towers"]},
        "ensemble": {"test": task.scores(ensemble)},
        "seeds": seeds,
        "failed": [{"fold": n} | place for n, fold in folds.items() for place in fold["failed"]],
        "seconds": _sum(fold["seconds"] for fold in trials),
        "folds": [
            {"name": name, **{part: fold[part] for part in ("sizes", "validation", "test")}}
            for name, fold in folds.items()
        ],
        "answers": answers("answers"),
        "utterances": {
            name: [value for fold in trials for value in fold["utterances"][name]]
            for name in trials[0]["utterances"]
        },
        "curves": {
            head: _curves([fold["curves"][head] for fold in trials]) for head in trials[0]["curves"]
        },
        "trainable": trials[0]["trainable"],
    }
    if "towers_mean" in trials[0]["counts"]:
        pooled["towers_mean"] = {part: scores("counts", "towers_mean", part) for part in _SCORED}
    if all("mean_answers" in fold for fold in trials):
        pooled["mean_answers"] = answers("mean_answers")
    if all("before_refit" in fold["counts"] for fold in trials):
        before = "counts", "before_refit"
        pooled["before_refit"] = {
            "test": scores(*before, "system", "test"),
            "towers": {
                name: {"test": scores(*before, "towers", name, "test")} for name in pooled["towers"]
            },
        }
    if all("tower_answers" in fold for fold in trials):
        towers = trials[0]["tower_answers"]
        pooled["tower_answers"] = {tower: answers("tower_answers", tower) for tower in towers}
    if all("baseline" in fold for fold in trials):
        first = [[0]] * len(trials)
        pooled["baseline"] = {"system": trials[0]["baseline"]["system"]} | {
            part: scores("baseline_counts", part, seeds=first) for part in _SCORED
        }
        pooled["baseline_answers"] = answers("baseline_answers", seeds=first)
    pooled["distances"] = {key: answers("distances", key) for key in trials[0].get("distances", {})}
    add_distances(pooled, pooled)
    add_intervals(task, pooled, pooled)
    if all(fold.get("context_answers") for fold in trials):
        sizes = trials[0]["context_answers"]
        pooled["context_answers"] = {size: answers("context_answers", size) for size in sizes}
        pooled["context"] = of_context(task, pooled)
    if task.has_probabilities:
        count = len(task.classes)
        pooled["groups"] = group_scores(pooled["answers"], pooled["utterances"], count)
    if all("calibration" in fold for fold in trials):
        pooled["calibration"] = analysis.pool_calibration([fold["calibration"] for fold in trials])
        for part in analysis.PARTS:
            pooled[part]["calibration"] = analysis.calibration_errors(pooled["calibration"], part)
    if all("missing" in fold for fold in trials):
        pooled["attention"] = _attention(trials)
        pooled["missing"] = _missing(trials, chosen)
    return pooled


def _head(
    task: Task, folds: Sequence[Scores], tallies: Sequence[Scores], chosen: Sequence[list[int]]
) -> dict[str, Any]:
    """Pools the scores of a system or a tower: those of the summed tallies, by seed."""
    scores: dict[str, Any] = {
        part: _part(task, [x[part] for x in tallies], chosen) for part in _SCORED
    }
    weights = {part: [task.weight(x[part][0]) for x in tallies] for part in _SCORED}

    def averaged(part: str, *path: str) -> dict[str, Any]:
        return _averaged([_at(fold, path) for fold in folds], chosen, weights[part])

    scores["validation"]["loss"] = averaged("validation", "validation", "loss")
    key = task.progress.key
    scores["test_oracle"] = {key: averaged("test", "test_oracle", key)}
    best = [(fold["best_epoch"], seeds) for fold, seeds in zip(folds, chosen, strict=True)]
    scores["best_epoch"] = [epochs[seed] for epochs, seeds in best for seed in seeds]
    return scores


def _part(task: Task, tallies: Sequence[Any], chosen: Sequence[list[int]]) -> dict[str, Any]:
    """Computes the scores of a part from the sum of the folds' tallies, by seed and by fold."""
    of_folds = [np.asarray(x)[seeds] for x, seeds in zip(tallies, chosen, strict=True)]
    scores, each = task.scores(np.sum(of_folds, axis=0)), [task.scores(x) for x in of_folds]
    for name, score in scores.items():
        if "per_seed" in (score if isinstance(score, dict) else ()):
            score.update(_over_folds([fold[name]["mean"] for fold in each]))
    return scores


def _sum(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Adds nested mappings of numbers entry by entry; missing entries are 0."""
    first, *others = list(mappings)
    return {
        name: _sum(each[name] for each in (first, *others))
        if isinstance(value, Mapping)
        else sum((each.get(name, 0) for each in others), start=value)
        for name, value in first.items()
    }


def _at(tree: Any, path: Sequence[str]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def _averaged(
    spreads: Sequence[Scores], chosen: Sequence[list[int]], weights: Sequence[float]
) -> dict[str, Any]:
    """Averages a mean score over the weighted folds, by seed."""
    values = [np.asarray(x["per_seed"])[seeds] for x, seeds in zip(spreads, chosen, strict=True)]
    pooled = over_seeds(np.average(values, axis=0, weights=weights))
    return pooled | _over_folds([x.mean() for x in values])


def _over_folds(means: Sequence[float]) -> dict[str, Any]:
    """Returns the mean of each fold, and their standard deviation."""
    spread = over_seeds(means)
    return {"per_fold": spread["per_seed"], "std_folds": spread["std"]}


def _curves(folds: Sequence[Scores]) -> dict[str, list[float]]:
    """Averages curves by epoch over the folds that are still training."""
    means = {}
    for name in folds[0]:
        lines = [fold[name] for fold in folds]
        epochs = range(max(map(len, lines)))
        means[name] = [float(np.mean([line[e] for line in lines if e < len(line)])) for e in epochs]
    return means


def _attention(folds: Sequence[Scores]) -> dict[str, Any] | None:
    """Averages attention over all utterances; the example conversation is the first fold's."""
    first = folds[0]["attention"]
    if first is None:
        return None
    labels = [fold["utterances"]["label"] for fold in folds]
    by_class = first["by_class"]  # empty for numbers
    counts = [np.bincount(x, minlength=len(by_class)) for x in labels] if by_class else []

    def mean(maps: Iterable[Any], weights: Sequence[int]) -> Any:
        return np.average(list(maps), axis=0, weights=np.maximum(weights, 1e-9)).tolist()

    return first | {
        "mean": mean((f["attention"]["mean"] for f in folds), list(map(len, labels))),
        "by_class": {
            name: mean((f["attention"]["by_class"][name] for f in folds), [n[c] for n in counts])
            for c, name in enumerate(by_class)
        },
    }


def _missing(folds: Sequence[Scores], chosen: Sequence[list[int]]) -> dict[str, Any]:
    """Averages the score without each modality over all utterances."""
    scored = [len(fold["utterances"]["label"]) for fold in folds]

    def without(modality: str) -> dict[str, Any]:
        each = [fold["missing"][modality] for fold in folds]
        return {name: _averaged([x[name] for x in each], chosen, scored) for name in each[0]}

    return {modality: without(modality) for modality in folds[0]["missing"]}
