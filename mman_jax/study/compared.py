"""Paired tests of finished trials on the same corpus, protocol and split."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.evaluation import paired, significance
from mman_jax.study.finished import Run, read
from mman_jax.tasks import from_results


def compare(
    paths: Sequence[pathlib.Path],
    against: pathlib.Path | None = None,
    command: str = "",
    score: str = "",
) -> dict[str, Any]:
    """Computes scores and paired tests of trials on one corpus, protocol and split.

    Args:
        paths: folders of the trials. `DIR/systems/NAME` also names a system of a study over folds,
            although its trials are in `DIR/folds`; `DIR:TOWER` names a tower, see `finished.read`.
        against: the trial that each other one is compared with; None: all pairs are compared.
        command: command that repeats the comparison.
        score: the score to compare, see `choose_score`.

    Raises:
        InputError: the trials do not have this score, are fewer than two, are not finished, or
            are not on the same utterances.
    """
    paths = [*paths, *([against] if against and not _among(against, paths) else ())]
    for number, path in enumerate(paths):
        if _among(path, paths[:number]):
            raise InputError(path, "given twice", "each trial once")
    if len(paths) < 2:
        problem = f"one trial alone, {paths[0]}" if paths else "no trial"
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
    score = choose_score(score, task.score_names(runs[0].results["tasks"][name]["test"]))
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


def choose_score(score: str, available: Sequence[str] | Mapping[str, str]) -> str:
    """Returns the score to compare by; if none is named, the task's headline.

    Args:
        score: name of the score, or empty.
        available: the scores of the task, the headline first.

    Raises:
        InputError: a score that the task does not have.
    """
    names = list(available)
    if not score:
        return names[0]
    if score not in names:
        raise InputError("score", f"unknown {score!r:.40}", nearest(score, names))
    return score


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
        others = run.tasks[task][1]
        if not all(_equal(values, others[x]) for x, values in utterances.items()):
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
            notes.append(f"{name} has other features of {', '.join(others)} than {names[0]}.")
    return notes


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Returns whether all entries are equal; labels may be NaN."""
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f" == second.dtype.kind)


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
    longest = max((len(path.parts) for path in paths), default=1)
    for parts in range(1, longest + 1):
        names = ["/".join(path.parts[-parts:]) or str(path) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
