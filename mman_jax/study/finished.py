"""Finished trials, on one split or on all folds, with their predictions for comparisons."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import read_json
from mman_jax.study import pooled
from mman_jax.tasks import from_results
from mman_jax.trial import analysis, folder

_ANSWERS = "the predictions of a trial, as this version of mman_jax stores them"
_FINISHED = "the folder of a finished trial"
_SPLIT = {"split": "", "folds": ""}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished trial on one split or on all folds.

    Attributes:
        path: path of its folder, as it was given, with the name of a tower after a colon.
        results: the results, see `pooled.read`.
        corpus: content of its `corpus.json`.
        split: description of the split, with the sizes of its parts.
        tasks: by name the answers [S, N] and the `conversation`, `position` and `label` [N] of the
            utterances, which all trials have in the same order. With T targets, answers and labels
            have a last axis T, and a missing rating is NaN.
    """

    path: pathlib.Path
    results: Mapping[str, Any]
    corpus: Mapping[str, Any]
    split: Mapping[str, Any]
    tasks: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]]

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
        by_task = {name: from_results(task, name) for name, task in tasks.items()}

        def scores(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
            return {key: of["test"][key] for key in by_task[name].score_names(of["test"])}

        return {
            "name": name,
            "folder": str(self.path),
            "system": self.results["system"],
            "modalities": list(self.results["corpus"]["dimensions"]),
            "scaled": self.results["corpus"].get("test", {}).get("scaled"),
            "seeds": {task: scores["seeds"] for task, scores in tasks.items()},
            "revision": self.results.get("revision"),
            "test": {name: scores(name, task) for name, task in tasks.items()},
            "constant": {
                name: task["test"].get(by_task[name].constant) for name, task in tasks.items()
            },
            "baseline": {
                name: scores(name, task["baseline"])
                for name, task in tasks.items()
                if task.get("baseline")
            },
        }


def read(path: pathlib.Path) -> Run:
    """Reads a finished trial, on one split or on all folds, with its predictions.

    Args:
        path: folder of the trial. `PATH:NAME` is its tower NAME instead of its system, or `linear`
            its baseline.

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
                "tasks": {
                    name: _of_tower(task, tower, path) for name, task in results["tasks"].items()
                },
            }
        tasks = {name: _answers(task) for name, task in results["tasks"].items()}
        parts = {
            part: {unit: sizes[unit] for unit in ("conversations", "utterances")}
            for part, sizes in results["corpus"]["parts"].items()
        }
        data = [read_json(trial / "config.json")["data"] for trial in folders.values()]
        split = {name: data[0].get(name, default) for name, default in _SPLIT.items()}
        split |= {"fold": sorted(fields.get("fold", "") for fields in data)}
        split |= {"sentence": results["corpus"]["split"], "parts": parts}
        corpus = read_json(next(iter(folders.values())) / folder.CORPUS)
        run = Run(path, results, _digests(corpus), split, tasks)
        run.about(path.name)  # raises an error if a field is missing
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        found = f"unreadable predictions ({type(error).__name__}: {error!s:.60})"
        raise InputError(path, found, _ANSWERS) from error
    return run


def _of_tower(task: Mapping[str, Any], tower: str, path: pathlib.Path) -> dict[str, Any]:
    """Returns the scores and the predictions of a tower, or of the baseline, as a system's."""
    answers, scores = dict(task.get("tower_answers", {})), dict(task["towers"])
    seeds = task["seeds"]
    if "baseline" in task:
        name = task["baseline"]["system"]
        answers[name], scores[name] = task["baseline_answers"], task["baseline"]
        seeds = [0] if tower == name else seeds
    if tower not in answers:
        raise InputError(path, f"no tower {tower!r:.40} with predictions", nearest(tower, answers))
    return {**task, **scores[tower], "answers": answers[tower], "seeds": seeds, "baseline": None}


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


def _digests(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the content of `corpus.json`, after checking its form."""
    for corpus in (content, content.get("test") or content):
        digests = corpus["sha256"], corpus["utterances"]
        if not all(isinstance(x, str) for x in digests) or not isinstance(
            corpus["modalities"], dict
        ):
            raise ValueError(f"{folder.CORPUS} holds no digests")
    return content


def _answers(task: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    utterances = task["utterances"]
    answers, labels = from_results(task).read_answers(task["answers"], utterances["label"])
    conversations, positions = utterances["conversation"], utterances["position"]
    order = sorted(range(len(positions)), key=lambda i: (conversations[i], positions[i]))
    columns = {name: np.asarray(values) for name, values in utterances.items() if name != "label"}
    return answers[:, order], {name: x[order] for name, x in (columns | {"label": labels}).items()}
