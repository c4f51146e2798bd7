"""A finished trial as comparisons read it, whole or on every fold."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.study import pooled
from mman_jax.tasks import from_results
from mman_jax.trial import analysis, folder

_ANSWERS = "the answers of a trial, as this version of mman_jax writes them"
_FINISHED = "the folder of a finished trial"
_SPLIT = {"split": "", "folds": ""}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished trial, or one on every fold.

    Attributes:
        path: of its folder, as it was given.
        results: what `pooled.read` gives.
        corpus: what its `corpus.json` holds.
        split: how its corpus was split, and into parts of which sizes.
        tasks: by name the answers [S, N] and the `conversation`, `position` and `label` [N] of the
            utterances, these in one order for all trials; of T targets answers and labels have a
            last axis T, and a label is NaN where it is not rated.
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
        """What a comparison tells of the trial, under a name."""
        tasks = self.results["tasks"]
        return {
            "name": name,
            "folder": str(self.path),
            "system": self.results["system"],
            "modalities": list(self.results["corpus"]["dimensions"]),
            "scaled": self.results["corpus"].get("test", {}).get("scaled"),
            "seeds": {task: found["seeds"] for task, found in tasks.items()},
            "revision": self.results.get("revision"),
            "test": {
                name: {
                    key: task["test"][key] for key in from_results(task).score_names(task["test"])
                }
                for name, task in tasks.items()
            },
        }


def read(path: pathlib.Path) -> Run:
    """A finished trial, or one on every fold, with its answers.

    Raises:
        InputError: it is not finished, or lacks what a comparison needs.
    """
    folders = _folders(path)
    for one in folders.values():
        if not (one / analysis.NAME).is_file():
            raise InputError(one, f"no {analysis.NAME}, as of an earlier version", _ANSWERS)
    try:
        results = pooled.read(folders)
        tasks = {name: _answers(task) for name, task in results["tasks"].items()}
        parts = {
            part: {what: size[what] for what in ("conversations", "utterances")}
            for part, size in results["corpus"]["parts"].items()
        }
        data = [read_json(one / "config.json")["data"] for one in folders.values()]
        split = {name: data[0].get(name, default) for name, default in _SPLIT.items()}
        split |= {"fold": sorted(one.get("fold", "") for one in data)}
        split |= {"sentence": results["corpus"]["split"], "parts": parts}
        corpus = read_json(next(iter(folders.values())) / folder.CORPUS)
        run = Run(path, results, _digests(corpus), split, tasks)
        run.about(path.name)  # all of it is there
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        found = f"no answers that can be read ({type(error).__name__}: {error!s:.60})"
        raise InputError(path, found, _ANSWERS) from error
    return run


def _folders(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folder of a trial, or of each of its folds."""
    study = path.parent.parent
    folds = sorted((study / "folds").glob(f"*/{path.parent.name}/{path.name}"))
    if not path.is_dir() and folds:
        whole = [one / path.parent.name / path.name for one in (study / "folds").iterdir()]
        for one in whole:
            if not (one / "results.json").is_file():
                raise InputError(one, "not finished", _FINISHED)
        return {one.parent.parent.name: one for one in folds}
    if not (path / "results.json").is_file():
        begun = (path / "config.json").is_file()
        problem = "not finished: the command that began it resumes it" if begun else "no trial"
        raise InputError(path, problem, _FINISHED)
    if "systems" in read_json(path / "results.json"):
        raise InputError(path, "a study of several systems", f"its trials, {path}/systems/NAME")
    if not (path / "folds").is_dir() or (path / analysis.NAME).is_file():
        return {"": path}
    return {one.name: one for one in sorted((path / "folds").iterdir()) if one.is_dir()}


def _digests(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `corpus.json` holds, of the form that it must have."""
    for one in (content, content.get("test") or content):
        if not isinstance(one["sha256"], str) or not isinstance(one.get("modalities", {}), dict):
            raise ValueError(f"{folder.CORPUS} holds no digests")
    return content


def _answers(task: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    utterances = task["utterances"]
    answers, labels = from_results(task).read_answers(task["answers"], utterances["label"])
    conversations, positions = utterances["conversation"], utterances["position"]
    order = sorted(range(len(positions)), key=lambda i: (conversations[i], positions[i]))
    columns = {name: np.asarray(values) for name, values in utterances.items() if name != "label"}
    return answers[:, order], {name: x[order] for name, x in (columns | {"label": labels}).items()}
