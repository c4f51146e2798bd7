"""Finished trials with their predictions, on one split or on all folds."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.validation import RESERVED
from mman_jax.errors import InputError, nearest
from mman_jax.evaluation.groups import PREFIX
from mman_jax.files.whole import read_json
from mman_jax.study import pooled
from mman_jax.tasks import from_results
from mman_jax.trial import analysis, folder, seal

_ANSWERS = "the predictions of a trial, as this version of mman_jax stores them"
_FINISHED = "the folder of a finished trial"
_SPLIT = ("split", "folds")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished trial on one split or on all folds.

    Attributes:
        path: path of its folder as the user wrote it, with a tower's name after a colon.
        results: the results, see `pooled.read`.
        corpus: content of its `corpus.json`.
        split: description of the split, with the sizes of its parts.
        tasks: for each task, the answers [S, N] and the `conversation`, `position` and `label` [N]
            of the utterances, which all trials have in the same order. With T targets, answers and
            labels have a last axis T, and a missing rating is NaN.
        distances: for each task with votes, the distances [S, N] of the predictions to the raters
            by the score's name, see `tasks.votes`.
        selection: the rule that selected the epochs; empty if it is unknown.
    """

    path: pathlib.Path
    results: Mapping[str, Any]
    corpus: Mapping[str, Any]
    split: Mapping[str, Any]
    tasks: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]]
    distances: Mapping[str, Mapping[str, np.ndarray]]
    selection: str = ""

    @property
    def classes(self) -> dict[str, list[str]]:
        """The classes of each task, or the names of its targets."""
        return {
            name: list(from_results(task, name).classes)
            for name, task in self.results["tasks"].items()
        }

    def about(self, name: str) -> dict[str, Any]:
        """Describes the trial for a comparison, under a name."""
        tasks = self.results["tasks"]

        def groups(name: str) -> dict[str, dict[str, float]]:
            answers, utterances = self.tasks[name]
            public = {k for k in utterances if k.startswith(PREFIX)} - {
                PREFIX + k for k in RESERVED
            }
            if not public:
                return {}
            of_each = from_results(tasks[name], name).score_each(answers, utterances["label"])
            return {
                key.removeprefix(PREFIX): {
                    str(group): float(of_each[:, utterances[key] == group].mean())
                    for group in np.unique(utterances[key])
                }
                for key in sorted(public)
            }

        def scores(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
            names = from_results(tasks[name], name).score_names(of["test"])
            return {key: of["test"][key] for key in names}

        return {
            "name": name,
            "folder": str(self.path),
            "system": self.results["system"],
            "class": self.results.get("class"),
            "sees": self.results.get("sees"),
            "parameters": self.results.get("parameters", {}).get("total"),
            "modalities": list(self.results["corpus"]["dimensions"]),
            "features": {
                name: f"{size}, {str(self.corpus['modalities'].get(name, 'unknown'))[:8]}"
                for name, size in self.results["corpus"]["dimensions"].items()
            },
            "selection": self.selection,
            "scaled": self.results["corpus"].get("test", {}).get("scaled"),
            "seeds": {task: scores["seeds"] for task, scores in tasks.items()},
            "revision": self.results.get("revision"),
            "test": {name: scores(name, task) for name, task in tasks.items()},
            "constant": {
                name: task["test"].get(from_results(task).constant) for name, task in tasks.items()
            },
            "baseline": {
                name: scores(name, task["baseline"])
                for name, task in tasks.items()
                if task.get("baseline")
            },
            "calibration": {n: x["test"].get("calibration") for n, x in tasks.items()},
            "groups": {name: groups(name) for name in tasks},
        }


def read(path: pathlib.Path) -> Run:
    """Reads a finished trial, on one split or on all folds, with its predictions.

    `PATH:NAME` reads the tower NAME of the trial, and `PATH:linear` its linear baseline.

    Raises:
        InputError: it is not finished, lacks data that a comparison needs, or has no such tower.
    """
    folder_name, _, tower = path.name.partition(":")
    study = path.parent.parent / "folds"
    if path.is_dir() or any(study.glob(f"*/{path.parent.name}/{path.name}")):
        folder_name, tower = path.name, ""
    folders = _folders(path.with_name(folder_name) if folder_name else path.parent)
    for trial in folders.values():
        if not (trial / analysis.NAME).is_file():
            raise InputError(trial, f"no {analysis.NAME}, so it is of an earlier version", _ANSWERS)
    try:
        results = pooled.read(folders)
        if tower:
            results |= {
                "system": f"{results['system']}:{tower}",
                "sees": None,
                "tasks": {
                    name: _of_tower(task, tower, path) for name, task in results["tasks"].items()
                },
            }
        orders = {name: _order(task) for name, task in results["tasks"].items()}
        tasks = {name: _answers(x, orders[name]) for name, x in results["tasks"].items()}
        distances = {
            name: {key: np.asarray(x)[:, orders[name]] for key, x in task["distances"].items()}
            for name, task in results["tasks"].items()
            if task.get("distances")
        }
        parts = {
            part: {unit: sizes[unit] for unit in ("conversations", "utterances")}
            for part, sizes in results["corpus"]["parts"].items()
        }
        configs = [read_json(trial / "config.json") for trial in folders.values()]
        data = [config["data"] for config in configs]
        split = {name: data[0].get(name, "") for name in _SPLIT}
        split |= {"fold": sorted(fields.get("fold", "") for fields in data)}
        split |= {"sentence": results["corpus"]["split"], "parts": parts}
        corpus = read_json(next(iter(folders.values())) / folder.CORPUS)
        for of in (corpus, corpus.get("test") or corpus):
            if not all(isinstance(of[x], str) for x in ("sha256", "utterances")) or not isinstance(
                of["modalities"], dict
            ):
                raise ValueError(f"{folder.CORPUS} holds no digests")
        run = Run(path, results, corpus, split, tasks, distances, seal.rule(configs[0]))
        run.about(path.name)  # raises an error if a field is missing
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        found = f"unreadable predictions ({type(error).__name__}: {error!s:.60})"
        raise InputError(path, found, _ANSWERS) from error
    return run


def _of_tower(task: Mapping[str, Any], tower: str, path: pathlib.Path) -> dict[str, Any]:
    """Returns the scores and predictions of a tower or of the baseline as those of a system."""
    answers, scores = dict(task.get("tower_answers", {})), dict(task["towers"])
    seeds = task["seeds"]
    if "baseline" in task:
        name = task["baseline"]["system"]
        answers[name], scores[name] = task["baseline_answers"], task["baseline"]
        seeds = [0] if tower == name else seeds
    if tower not in answers:
        raise InputError(path, f"no tower {tower!r:.40} with predictions", nearest(tower, answers))
    of_system = {"answers": answers[tower], "seeds": seeds, "baseline": None, "distances": None}
    return {**task, **scores[tower], **of_system}


def _folders(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the folder of a trial, or of each of its folds by the fold's name."""
    study = path.parent.parent
    trials = sorted((study / "folds").glob(f"*/{path.parent.name}/{path.name}"))
    if not path.is_dir() and trials:
        for fold in (study / "folds").iterdir():
            trial = fold / path.parent.name / path.name
            if not (trial / "results.json").is_file():
                raise InputError(trial, "not finished", _FINISHED)
        return {trial.parent.parent.name: trial for trial in trials}
    if not (path / "results.json").is_file():
        begun = (path / "config.json").is_file()
        problem = "not finished: the same command resumes it" if begun else "no trial"
        raise InputError(path, problem, _FINISHED)
    if "systems" in read_json(path / "results.json"):
        raise InputError(path, "a study of several systems", f"its trials, {path}/systems/NAME")
    if not (path / "folds").is_dir() or (path / analysis.NAME).is_file():
        return {"": path}
    return {fold.name: fold for fold in sorted((path / "folds").iterdir()) if fold.is_dir()}


def _order(task: Mapping[str, Any]) -> list[int]:
    """Returns the canonical order of the utterances, which all trials share."""
    conversations = task["utterances"]["conversation"]
    positions = task["utterances"]["position"]
    return sorted(range(len(positions)), key=lambda i: (conversations[i], positions[i]))


def _answers(
    task: Mapping[str, Any], order: Sequence[int]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    utterances = task["utterances"]
    answers, labels = from_results(task).read_answers(task["answers"], utterances["label"])
    columns = {name: np.asarray(values) for name, values in utterances.items() if name != "label"}
    return answers[:, order], {name: x[order] for name, x in (columns | {"label": labels}).items()}
