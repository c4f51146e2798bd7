"""Finished trials read to be compared, and their paired tests; what cannot be is refused."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study import claims, naming, pooled
from experiments.trial import analysis, folder
from mman_jax.errors import InputError
from mman_jax.evaluation import significance
from mman_jax.evaluation.metrics import METRICS
from mman_jax.files.whole import read_json

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
            utterances, these in one order for all trials.
    """

    path: pathlib.Path
    results: Mapping[str, Any]
    corpus: Mapping[str, Any]
    split: Mapping[str, Any]
    tasks: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]]

    @property
    def classes(self) -> dict[str, list[str]]:
        """The classes of each task."""
        return {name: task["classes"] for name, task in self.results["tasks"].items()}


def compare(
    paths: Sequence[pathlib.Path], against: pathlib.Path | None = None, command: str = ""
) -> dict[str, Any]:
    """Scores and paired tests of trials on one corpus, protocol and split.

    Args:
        paths: of the trials' folders. That of a system of a paper's study over folds is
            `DIR/systems/NAME`, too, although it lies in `DIR/folds`.
        against: the trial that each other one is compared with; None: all pairs are.
        command: how to do it again.

    Raises:
        InputError: trials that are no two, not finished, or not on the same utterances.
    """
    paths = [*paths, *([against] if against and not _among(against, paths) else ())]
    for number, path in enumerate(paths):
        if _among(path, paths[:number]):
            raise InputError(path, "given twice", "each trial once")
    if len(paths) < 2:
        found = f"one trial alone, {paths[0]}" if paths else "no trial"
        raise InputError("trials", found, "two or more to compare")
    runs = [read(path) for path in paths]
    for run in runs[1:]:
        _check(runs[0], run)
    names = naming.distinct(paths)
    if against is None:
        pairs = list(itertools.combinations(range(len(runs)), 2))
    else:
        (base,) = [i for i, path in enumerate(paths) if _among(path, [against])]
        pairs = [(i, base) for i in range(len(runs)) if i != base]
    found = [
        {"task": task, "first": names[first], "second": names[second]}
        | claims.compare(
            *(runs[i].tasks[task][0] for i in (first, second)),
            runs[first].tasks[task][1],
            len(classes),
        )
        for task, classes in runs[0].classes.items()
        for first, second in pairs
    ]
    for test in ("p_bootstrap", "p_mcnemar"):
        for pair, p in zip(found, significance.holm([x[test] for x in found]), strict=True):
            pair[f"{test}_holm"] = p
    first = runs[0].results
    return {
        "command": command,
        "corpus": first["corpus"]["path"],
        "test_corpus": first["corpus"].get("test", {}).get("path"),
        "protocol": first["protocol"],
        "split": first["corpus"]["split"],
        "classes": runs[0].classes,
        "runs": [_about(name, run) for name, run in zip(names, runs, strict=True)],
        "resamples": significance.RESAMPLES,
        "comparisons": found,
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
        _about(path.name, run)  # all of it is there
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
        found = "not finished: the command that began it goes on" if begun else "no trial"
        raise InputError(path, found, _FINISHED)
    found = read_json(path / "results.json")
    if "systems" in found:
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
    answers, utterances = np.asarray(task["answers"]), task["utterances"]
    conversations, positions = utterances["conversation"], utterances["position"]
    order = sorted(range(len(positions)), key=lambda i: (conversations[i], positions[i]))
    arranged = {name: np.asarray(utterances[name])[order] for name in utterances}
    for values in (answers, arranged["label"]):
        if values.dtype.kind != "i" or not 0 <= values.min() <= values.max() < len(task["classes"]):
            raise ValueError("answers that are no classes")
    return answers[:, order], arranged


def _check(first: Run, run: Run) -> None:
    """Refuses a trial that was not scored as the first one was."""
    as_first = f"as {first.path}"

    def differ(what: str, theirs: object, ours: object) -> None:
        if theirs != ours:
            raise InputError(run.path, f"{what} {ours}", f"{theirs}, {as_first}")

    differ("protocol", first.results["protocol"], run.results["protocol"])
    _check_corpus(first, run, first.corpus, run.corpus, "corpus")
    tests = [one.corpus.get("test") for one in (first, run)]
    if any(tests):
        if not all(tests):
            told = ["its own test part", "another corpus"]
            theirs, ours = (told[test is not None] for test in tests)
            raise InputError(run.path, f"tested on {ours}", f"{theirs}, {as_first}")
        _check_corpus(first, run, *tests, "test corpus")
    differ("classes", first.classes, run.classes)
    for what in first.split:
        theirs, ours = first.split[what], run.split[what]
        if theirs != ours:
            raise InputError(run.path, f"another split: {ours}", f"{theirs}, {as_first}")
    for task, (_, utterances) in first.tasks.items():
        others = run.tasks[task][1]
        if any(not np.array_equal(values, others[x]) for x, values in utterances.items()):
            raise InputError(run.path, f"{task}: other test utterances", f"those {as_first}")


def _check_corpus(
    first: Run, run: Run, theirs: Mapping[str, Any], ours: Mapping[str, Any], what: str
) -> None:
    if theirs["sha256"] == ours["sha256"]:
        return
    same, path = f"the {what} of {first.path}", run.results["corpus"]["path"]
    for one, content in ((first, theirs), (run, ours)):
        if "utterances" not in content:
            found = f"of an earlier version, which does not tell whether this is {same}"
            raise InputError(one.path, found, "a trial of this version")
    if theirs["utterances"] != ours["utterances"]:
        raise InputError(run.path, f"another {what} ({path})", same)
    for name, digest in theirs["modalities"].items():
        if ours["modalities"].get(name, digest) != digest:
            found = f"another {what} ({path}): other features of {name}"
            raise InputError(run.path, found, f"{same}, or a name of their own for these features")


def _among(path: pathlib.Path, paths: Sequence[pathlib.Path]) -> bool:
    return path.resolve() in [other.resolve() for other in paths]


def _about(name: str, run: Run) -> dict[str, Any]:
    return {
        "name": name,
        "folder": str(run.path),
        "system": run.results["system"],
        "modalities": list(run.results["corpus"]["dimensions"]),
        "seeds": {task: found["seeds"] for task, found in run.results["tasks"].items()},
        "revision": run.results.get("revision"),
        "test": {
            task: {metric: found["test"][metric] for metric in METRICS}
            for task, found in run.results["tasks"].items()
        },
    }
