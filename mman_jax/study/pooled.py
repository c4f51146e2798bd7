"""Trials read back; and those of all folds as one, from their counts, seed by seed."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.scales import Target
from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.study import pooled_analyses
from mman_jax.trial import analysis, calibration, grouped, results
from mman_jax.trial.stored import read_results

Scores = Mapping[str, Any]
_PARTS = ("train", "valid", "test")
_SCORED = ("validation", "test")


def read(folders: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """Results as a trial writes them, of one trial or pooled over its folds.

    Args:
        folders: of the trial in each fold by the fold's name; one alone is not pooled.

    Returns:
        `results.json`'s content with, under `tasks`, every task's scores and what `analysis.json`
        tells of it.

    Raises:
        InputError: damaged files, or no seed that converged in every fold.
    """
    trials = {name: _read(folder) for name, folder in folders.items()}
    first = next(iter(trials.values()))
    if len(trials) == 1:
        return first
    tasks = {
        task: _task({name: trial["tasks"][task] for name, trial in trials.items()})
        for task in first["tasks"]
    }
    scored = {name: _scored(trial) for name, trial in trials.items()}
    several = list(trials.values())
    found = first | {"tasks": tasks, "corpus": corpora([trial["corpus"] for trial in several])}
    found["seconds"] = _sum(trial["seconds"] for trial in several)
    for name in first:
        if name.startswith("ceiling"):
            values = [trial[name] for trial in several]
            found[name] = float(np.average(values, weights=list(scored.values())))
    return found


def results_of(found: Scores) -> dict[str, Any]:
    """The content of `results.json`, from what `read` gave."""
    told = {"answers", "utterances", "counts", "sizes", "curves", "trainable"}
    told |= {"attention", "missing", "calibration"}
    tasks = {
        name: {field: value for field, value in task.items() if field not in told}
        for name, task in found["tasks"].items()
    }
    head = {name: value for name, value in found.items() if name != "tasks"}
    return head | (next(iter(tasks.values())) if len(tasks) == 1 else {"tasks": tasks})


def corpora(folds: Sequence[Scores]) -> dict[str, Any]:
    """What was read; the parts' sizes are the sums over the folds."""
    parts = {part: _sum(corpus["parts"][part] for corpus in folds) for part in _PARTS}
    how = f"{len(folds)} folds, each scored once; sizes of parts are summed over them"
    return dict(folds[0]) | {"split": how, "parts": parts}


def _read(folder: pathlib.Path) -> dict[str, Any]:
    found = read_results(folder / "results.json")
    told = read_json(folder / analysis.NAME)
    tasks = found.get("tasks") or {found["protocol"]: found}
    fields = ("classes", "targets", "validation", "test", "test_oracle", "best_epoch", "towers")
    fields += ("seeds", "failed", "seconds", "ensemble", "before_refit", "groups")
    kept = {
        name: {field: task[field] for field in fields if field in task} | told[name]
        for name, task in tasks.items()
    }
    head = {name: value for name, value in found.items() if name not in fields}
    return head | {"seconds": found["seconds"], "seeds": found["seeds"], "tasks": kept}


def _task(folds: Mapping[str, Scores]) -> dict[str, Any]:
    """One task's scores and analysis over the folds."""
    several = list(folds.values())
    seeds = [s for s in several[0]["seeds"] if all(s in fold["seeds"] for fold in several)]
    if not seeds:
        raise InputError(
            "training",
            "every seed failed in one fold or another",
            "training that converges (a smaller learning rate)",
        )
    # Of each fold the places of the seeds that converged in all.
    chosen = [[fold["seeds"].index(seed) for seed in seeds] for fold in several]

    targets = results.targets_of(several[0])
    answered = "targets" if targets else "classes"

    def of_head(*path: str) -> dict[str, Any]:
        return _head(
            [_at(fold, path) for fold in several],
            [_at(fold["counts"], path or ("system",)) for fold in several],
            chosen,
            targets,
        )

    answers = [np.asarray(f["answers"])[own] for f, own in zip(several, chosen, strict=True)]
    found = {
        answered: several[0][answered],
        **of_head(),
        "towers": {name: of_head("towers", name) for name in several[0]["towers"]},
        "ensemble": {"test": results.scores(_summed(several, "ensemble"), targets)},
        "seeds": seeds,
        "failed": [{"fold": n} | place for n, fold in folds.items() for place in fold["failed"]],
        "seconds": _sum(fold["seconds"] for fold in several),
        "folds": [
            {"name": name, **{part: fold[part] for part in ("sizes", "validation", "test")}}
            for name, fold in folds.items()
        ],
        "answers": np.concatenate(answers, axis=1).tolist(),
        "utterances": {
            name: [value for fold in several for value in fold["utterances"][name]]
            for name in several[0]["utterances"]
        },
        "curves": {
            head: pooled_analyses.curves([fold["curves"][head] for fold in several])
            for head in several[0]["curves"]
        },
        "trainable": several[0]["trainable"],
    }
    if all("before_refit" in fold["counts"] for fold in several):
        found["before_refit"] = _before_refit(several, chosen, targets)
    if not targets:
        told, classes = found["utterances"], len(found["classes"])
        found["groups"] = grouped.scores(found["answers"], told, classes)
    if all("calibration" in fold for fold in several):
        found["calibration"] = calibration.pooled([fold["calibration"] for fold in several])
        for part in calibration.PARTS:
            found[part]["calibration"] = calibration.errors(found["calibration"], part)
    if all("missing" in fold for fold in several):
        found["attention"] = pooled_analyses.attention(several)
        found["missing"] = pooled_analyses.missing(several, chosen)
    return found


def _head(
    folds: Sequence[Scores],
    counts: Sequence[Scores],
    chosen: Sequence[list[int]],
    targets: Sequence[Target] = (),
) -> dict[str, Any]:
    """The scores of a system or tower over the folds: of the sum of their counts, by seed."""
    found: dict[str, Any] = {}
    for part in _SCORED:
        found[part] = _part([x[part] for x in counts], chosen, targets)
    scored = {part: [results.weight(x[part][0], targets) for x in counts] for part in _SCORED}

    def averaged(part: str, *path: str) -> dict[str, Any]:
        of_folds = [_at(fold, path) for fold in folds]
        return pooled_analyses.averaged(of_folds, chosen, scored[part])

    found["validation"]["loss"] = averaged("validation", "validation", "loss")
    shown = results.shown(targets)
    found["test_oracle"] = {shown: averaged("test", "test_oracle", shown)}
    best = [(fold["best_epoch"], seeds) for fold, seeds in zip(folds, chosen, strict=True)]
    found["best_epoch"] = [epochs[seed] for epochs, seeds in best for seed in seeds]
    return found


def _part(
    counts: Sequence[Any], chosen: Sequence[list[int]], targets: Sequence[Target]
) -> dict[str, Any]:
    """The scores of a part: of the sum of the folds' counts, by seed, and fold by fold."""
    own = [np.asarray(x)[seeds] for x, seeds in zip(counts, chosen, strict=True)]
    found, each = results.scores(sum(own), targets), [results.scores(x, targets) for x in own]
    for name, score in found.items():
        if "per_seed" in (score if isinstance(score, dict) else ()):
            score.update(pooled_analyses.over_folds([fold[name]["mean"] for fold in each]))
    return found


def _before_refit(
    folds: Sequence[Scores], chosen: Sequence[list[int]], targets: Sequence[Target]
) -> dict[str, Any]:
    """What `results.tests` tells, of the counts of all folds."""
    counts = [fold["counts"]["before_refit"] for fold in folds]

    def of_head(*path: str) -> dict[str, Any]:
        return {"test": _part([_at(x, path)["test"] for x in counts], chosen, targets)}

    return of_head("system") | {
        "towers": {name: of_head("towers", name) for name in counts[0]["towers"]}
    }


def _summed(folds: Sequence[Scores], name: str) -> np.ndarray:
    return sum(np.asarray(fold["counts"][name]["test"]) for fold in folds)


def _sum(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Mappings of numbers, or of such mappings, added up entry by entry."""
    first, *others = list(several)
    return {
        name: _sum(each[name] for each in (first, *others))
        if isinstance(value, Mapping)
        else sum((each[name] for each in others), start=value)
        for name, value in first.items()
    }


def _scored(trial: Scores) -> int:
    return sum(task["sizes"]["test"]["utterances"] for task in trial["tasks"].values())


def _at(tree: Any, path: Sequence[str]) -> Any:
    for name in path:
        tree = tree[name]
    return tree
