"""Finished trials with their predictions, and paired tests between them."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.evaluation import paired, significance
from mman_jax.files.whole import read_json
from mman_jax.study import pooled
from mman_jax.tasks import from_results
from mman_jax.trial import analysis, folder

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

        def scores(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
            names = from_results(tasks[name], name).score_names(of["test"])
            return {key: of["test"][key] for key in names}

        return {
            "name": name,
            "folder": str(self.path),
            "system": self.results["system"],
            "class": self.results.get("class"),
            "sees": self.results.get("sees"),
            "parameters": self.results["parameters"]["total"],
            "modalities": list(self.results["corpus"]["dimensions"]),
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
        tasks = {name: _answers(task) for name, task in results["tasks"].items()}
        parts = {
            part: {unit: sizes[unit] for unit in ("conversations", "utterances")}
            for part, sizes in results["corpus"]["parts"].items()
        }
        data = [read_json(trial / "config.json")["data"] for trial in folders.values()]
        split = {name: data[0].get(name, "") for name in _SPLIT}
        split |= {"fold": sorted(fields.get("fold", "") for fields in data)}
        split |= {"sentence": results["corpus"]["split"], "parts": parts}
        corpus = read_json(next(iter(folders.values())) / folder.CORPUS)
        for of in (corpus, corpus.get("test") or corpus):
            if not all(isinstance(of[x], str) for x in ("sha256", "utterances")) or not isinstance(
                of["modalities"], dict
            ):
                raise ValueError(f"{folder.CORPUS} holds no digests")
        run = Run(path, results, corpus, split, tasks)
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


def _answers(task: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    utterances = task["utterances"]
    answers, labels = from_results(task).read_answers(task["answers"], utterances["label"])
    conversations, positions = utterances["conversation"], utterances["position"]
    order = sorted(range(len(positions)), key=lambda i: (conversations[i], positions[i]))
    columns = {name: np.asarray(values) for name, values in utterances.items() if name != "label"}
    return answers[:, order], {name: x[order] for name, x in (columns | {"label": labels}).items()}


def compare(
    paths: Sequence[pathlib.Path],
    against: pathlib.Path | None = None,
    command: str = "",
    score: str = "",
) -> dict[str, Any]:
    """Computes scores and paired tests of trials on one corpus, protocol and split.

    Args:
        paths: folders of the trials, see `read`. `DIR/systems/NAME` also names a system of a study
            over folds, although its trials are in `DIR/folds`.
        against: the trial that all others are compared with; None compares all pairs.
        command: command that repeats the comparison.
        score: the score to compare; empty: the task's headline.

    Raises:
        InputError: the trials do not have this score, are fewer than two, are not finished, or
            are not on the same utterances.
    """
    paths = [*paths, *([against] if against and not _among(against, paths) else ())]
    for number, path in enumerate(paths):
        if _among(path, paths[:number]):
            raise InputError(path, "given twice", "each trial once")
    if len(paths) < 2:
        problem = f"a single trial, {paths[0]}" if paths else "no trial"
        raise InputError("trials", problem, "two or more to compare")
    runs = [read(path) for path in paths]
    for run in runs[1:]:
        _check(runs[0], run)
    names = distinct(paths)
    if against is None:
        pairs = list(itertools.combinations(range(len(runs)), 2))
    else:
        (base,) = [i for i, path in enumerate(paths) if _among(path, [against])]
        pairs = [(i, base) for i in range(len(runs)) if i != base]
    tasks = {name: from_results(x, name) for name, x in runs[0].results["tasks"].items()}
    name, task = next(iter(tasks.items()))
    available = list(task.score_names(runs[0].results["tasks"][name]["test"]))
    score = score or available[0]
    if score not in available:
        raise InputError("score", f"unknown {score!r:.40}", nearest(score, available))
    comparisons: list[dict[str, Any]] = [
        {"task": name, "first": names[first], "second": names[second]}
        | paired.compare(
            task,
            runs[first].tasks[name][0],
            runs[second].tasks[name][0],
            runs[first].tasks[name][1],
            score,
        )
        for name, task in tasks.items()
        for first, second in pairs
    ]
    for test in ("p_bootstrap", "p_mcnemar"):
        if test not in comparisons[0]:
            continue
        corrected = significance.holm([pair[test] for pair in comparisons])
        for pair, p in zip(comparisons, corrected, strict=True):
            pair[f"{test}_holm"] = p
    shared, resampled = runs[0].results, paired.units(runs[0].tasks[name][1])
    other = shared["corpus"].get("test", {}).get("path")
    return {
        "command": command,
        "corpus": {"path": shared["corpus"]["path"]} | ({"test": {"path": other}} if other else {}),
        "protocol": shared["protocol"],
        "split": shared["corpus"]["split"],
        "classes": runs[0].classes,
        "runs": [run.about(name) for name, run in zip(names, runs, strict=True)],
        "score": score,
        "scores": {
            key: dataclasses.asdict(task.describe_score(key))
            for key in runs[0].about("")["test"][name]
        },
        "constant": {name: task.constant_name for name, task in tasks.items()},
        "resamples": significance.limit(resampled.count),
        "resampled": resampled.about(),
        "comparisons": comparisons,
        "notes": _notes(names, runs),
    }


def _check(first: Run, run: Run) -> None:
    """Refuses a trial that was not scored in the same way as the first one."""
    as_first = f"as {first.path}"

    def differ(what: str, theirs: object, ours: object) -> None:
        if theirs != ours:
            raise InputError(run.path, f"{what} {ours}", f"{theirs}, {as_first}")

    differ("protocol", first.results["protocol"], run.results["protocol"])
    _check_corpus(first, run, first.corpus, run.corpus, "corpus")
    first_test, test = first.corpus.get("test"), run.corpus.get("test")
    if first_test and test:
        _check_corpus(first, run, first_test, test, "test corpus")
    elif first_test or test:
        names = ["its own test part", "another corpus"]
        expected = f"{names[first_test is not None]}, {as_first}"
        raise InputError(run.path, f"tested on {names[test is not None]}", expected)
    tasks = [from_results(next(iter(x.results["tasks"].values()))) for x in (first, run)]
    differ("answers", tasks[0].outputs, tasks[1].outputs)
    differ(tasks[0].kind, first.classes, run.classes)
    for what in first.split:
        theirs, ours = first.split[what], run.split[what]
        if theirs != ours:
            raise InputError(run.path, f"another split: {ours}", f"{theirs}, {as_first}")
    for task, (_, utterances) in first.tasks.items():
        for column, values in utterances.items():
            others = run.tasks[task][1][column]
            numbers = values.dtype.kind == "f" == others.dtype.kind  # labels may be NaN
            if not np.array_equal(values, others, equal_nan=numbers):
                raise InputError(run.path, f"{task}: other test utterances", f"those {as_first}")


def _check_corpus(
    first: Run, run: Run, theirs: Mapping[str, Any], ours: Mapping[str, Any], what: str
) -> None:
    if theirs["sha256"] == ours["sha256"]:
        return
    same, path = f"the {what} of {first.path}", run.results["corpus"]["path"]
    if theirs["utterances"] != ours["utterances"]:
        raise InputError(run.path, f"another {what} ({path})", same)


def _notes(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Returns notes on features that differ between trials although they have the same name."""
    first, notes = runs[0].corpus["modalities"], []
    for name, run in zip(names[1:], runs[1:], strict=True):
        digests = run.corpus["modalities"]
        others = [m for m in first if digests.get(m, first[m]) != first[m]]
        if others:
            notes.append(f"{name} and {names[0]} have different features of {', '.join(others)}.")
    return notes


def _among(path: pathlib.Path, paths: Sequence[pathlib.Path]) -> bool:
    return path.resolve() in [other.resolve() for other in paths]


def distinct(paths: Sequence[pathlib.Path]) -> list[str]:
    """Returns the shortest ends of the paths that distinguish them; the paths must differ.

    Examples:
        >>> distinct([pathlib.Path("runs/a/systems/mman"), pathlib.Path("runs/clstm_lf")])
        ['mman', 'clstm_lf']
        >>> distinct([pathlib.Path("a/systems/mman"), pathlib.Path("b/systems/mman")])
        ['a/systems/mman', 'b/systems/mman']
    """
    names: list[str] = []
    for parts in range(1, 1 + max((len(path.parts) for path in paths), default=1)):
        names = ["/".join(path.parts[-parts:]) or str(path) for path in paths]
        if len(set(names)) == len(names):
            break
    return names
