"""Paired tests between finished trials, and between them and the predictions of others."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.evaluation import paired, significance
from mman_jax.study import finished, predictions
from mman_jax.study.finished import Run
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.votes import DISTANCES


def compare(
    paths: Sequence[pathlib.Path],
    against: pathlib.Path | None = None,
    command: str = "",
    score: str = "",
) -> dict[str, Any]:
    """Computes scores and paired tests of trials on one corpus, protocol and split.

    Args:
        paths: folders of the trials, see `finished.read`, and files of others' predictions, see
            `predictions.read`. `DIR/systems/NAME` also names a system of a study over folds,
            although its trials are in `DIR/folds`.
        against: the trial that all others are compared with; None compares all pairs.
        command: command that repeats the comparison.
        score: the score to compare; empty: the task's headline.

    Raises:
        InputError: the trials do not have this score, are fewer than two, are not finished, or
            are not on the same utterances.
    """
    paths, runs = _read(paths, against)
    for run in runs[1:]:
        _check(runs[0], run)
    return _compared(distinct(paths), runs, against, command, score)


def compare_groups(
    paths: Sequence[pathlib.Path],
    against: pathlib.Path | None = None,
    command: str = "",
    score: str = "",
) -> list[dict[str, Any]]:
    """Computes the result of `compare` for each group of trials that can be compared.

    Trials of another corpus, protocol or split form a separate group. A file of predictions
    belongs to the group of the trial before it.
    """
    paths, runs = _read(paths, against)
    names, groups = distinct(paths), list[list[int]]()
    for index, run in enumerate(runs):
        for group in groups:
            try:
                _check(runs[group[0]], run)
            except InputError:
                continue
            group.append(index)
            break
        else:
            groups.append([index])
    return [
        _compared([names[i] for i in group], [runs[i] for i in group], against, command, score)
        for group in groups
    ]


def _read(
    paths: Sequence[pathlib.Path], against: pathlib.Path | None
) -> tuple[list[pathlib.Path], list[Run]]:
    """Reads all trials and files, and `against` if it is not among them."""
    paths = [*paths, *([against] if against and not _among(against, paths) else ())]
    for number, path in enumerate(paths):
        if _among(path, paths[:number]):
            raise InputError(path, "given twice", "each trial once")
    if len(paths) < 2:
        problem = f"a single trial, {paths[0]}" if paths else "no trial"
        raise InputError("trials", problem, "two or more to compare")
    trials = {i: finished.read(x) for i, x in enumerate(paths) if not predictions.is_file(x)}
    if not trials:
        expected = "the folder of at least one finished trial, which has the labels"
        raise InputError(paths[0], "only files of predictions", expected)
    first = min(trials)
    runs = [
        trials[i]
        if i in trials
        else predictions.read(path, trials[max((j for j in trials if j < i), default=first)])
        for i, path in enumerate(paths)
    ]
    return paths, runs


def _compared(
    names: Sequence[str],
    runs: Sequence[Run],
    against: pathlib.Path | None,
    command: str,
    score: str,
) -> dict[str, Any]:
    """Compares trials on the same utterances."""
    bases = [i for i, run in enumerate(runs) if against and _among(run.path, [against])]
    pairs = [(i, bases[0]) for i in range(len(runs)) if i != bases[0]] if bases else []
    if against is None:
        pairs = list(itertools.combinations(range(len(runs)), 2))
    trial = next(run for run in runs if run.results["system"] != predictions.SYSTEM)
    tasks = {name: from_results(x, name) for name, x in trial.results["tasks"].items()}
    name, task = next(iter(tasks.items()))
    available = list(task.score_names(trial.results["tasks"][name]["test"]))
    score = score or available[0]
    if score not in available:
        raise InputError("score", f"unknown {score!r:.40}", nearest(score, available))
    comparisons: list[dict[str, Any]] = [
        {"task": name, "first": names[first], "second": names[second]}
        | _pair(task, name, runs[first], runs[second], score)
        for name, task in tasks.items()
        for first, second in pairs
    ]
    for test in ("p_bootstrap", "p_mcnemar"):
        if not comparisons or test not in comparisons[0]:
            continue
        corrected = significance.holm([pair[test] for pair in comparisons])
        for pair, p in zip(comparisons, corrected, strict=True):
            pair[f"{test}_holm"] = p
    shared, resampled = trial.results, paired.units(trial.tasks[name][1])
    other = shared["corpus"].get("test", {}).get("path")
    return {
        "command": command,
        "corpus": {"path": shared["corpus"]["path"]} | ({"test": {"path": other}} if other else {}),
        "protocol": shared["protocol"],
        "split": shared["corpus"]["split"],
        "classes": trial.classes,
        "runs": [run.about(name) for name, run in zip(names, runs, strict=True)],
        "score": score,
        "scores": {
            key: dataclasses.asdict(task.describe_score(key))
            for key in trial.about("")["test"][name]
        },
        "constant": {name: task.constant_name for name, task in tasks.items()},
        "resamples": significance.limit(resampled.count),
        "resampled": resampled.about(),
        "comparisons": comparisons,
        "notes": _notes(names, runs),
    }


def _pair(task: Task, name: str, first: Run, second: Run, score: str) -> dict[str, Any]:
    """Compares two trials by a score; see `paired.compare`."""
    utterances = first.tasks[name][1]
    if score not in DISTANCES:
        return paired.compare(task, first.tasks[name][0], second.tasks[name][0], utterances, score)
    sign = 1 if task.describe_score(score).higher_is_better else -1
    for run in (first, second):
        if score not in run.distances.get(name, {}):
            raise InputError(run.path, f"no {score}", "a trial on votes, or p_<class> of a file")
    gain, other = (sign * run.distances[name][score] for run in (first, second))
    return significance.bootstrap(gain, other, paired.units(utterances).of).about()


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
            if column == "raters" and column not in run.tasks[task][1]:
                continue  # of a trial that was trained on labels
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
    known, notes = [(n, r) for n, r in zip(names, runs, strict=True) if r.corpus["modalities"]], []
    first = known[0][1].corpus["modalities"]
    for name, run in known[1:]:
        digests = run.corpus["modalities"]
        others = [m for m in first if digests.get(m, first[m]) != first[m]]
        if others:
            verb = f"{name} and {known[0][0]} have different features"
            notes.append(f"{verb} of {', '.join(others)}.")
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
