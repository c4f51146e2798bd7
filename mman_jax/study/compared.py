"""Paired tests of finished trials; those that cannot be compared are refused."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.evaluation import significance
from mman_jax.study import paired
from mman_jax.study.finished import Run, read
from mman_jax.trial.results import targets_of


def compare(
    paths: Sequence[pathlib.Path],
    against: pathlib.Path | None = None,
    command: str = "",
    score: str = "",
) -> dict[str, Any]:
    """Scores and paired tests of trials on one corpus, protocol and split.

    Args:
        paths: of the trials' folders. That of a system of a paper's study over folds is
            `DIR/systems/NAME`, too, although it lies in `DIR/folds`.
        against: the trial that each other one is compared with; None: all pairs are.
        command: how to do it again.
        score: by which they are compared, see `paired.chosen`.

    Raises:
        InputError: a score that they do not have; trials that are no two, not finished, or not on
            the same utterances.
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
    names = distinct(paths)
    if against is None:
        pairs = list(itertools.combinations(range(len(runs)), 2))
    else:
        (base,) = [i for i, path in enumerate(paths) if _among(path, [against])]
        pairs = [(i, base) for i in range(len(runs)) if i != base]
    tasks = runs[0].results["tasks"]
    score = paired.chosen(score, next(iter(tasks.values())))
    found = [
        {"task": task, "first": names[first], "second": names[second]}
        | paired.compare(
            *(runs[i].tasks[task][0] for i in (first, second)),
            runs[first].tasks[task][1],
            about,
            score,
        )
        for task, about in tasks.items()
        for first, second in pairs
    ]
    for test in ("p_bootstrap", "p_mcnemar"):
        if test not in found[0]:
            continue
        for pair, p in zip(found, significance.holm([x[test] for x in found]), strict=True):
            pair[f"{test}_holm"] = p
    first = runs[0].results
    other = first["corpus"].get("test", {}).get("path")
    return {
        "command": command,
        "corpus": {"path": first["corpus"]["path"]} | ({"test": {"path": other}} if other else {}),
        "protocol": first["protocol"],
        "split": first["corpus"]["split"],
        "classes": runs[0].classes,
        "runs": [run.about(name) for name, run in zip(names, runs, strict=True)],
        "score": score,
        "resamples": significance.RESAMPLES,
        "comparisons": found,
        "notes": _notes(names, runs),
    }


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
    targets = [any(map(targets_of, one.results["tasks"].values())) for one in (first, run)]
    differ("answers", *(("classes", "numbers")[numbers] for numbers in targets))
    differ("targets" if targets[0] else "classes", first.classes, run.classes)
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
    for one, content in ((first, theirs), (run, ours)):
        if "utterances" not in content:
            found = f"of an earlier version, which does not tell whether this is {same}"
            raise InputError(one.path, found, "a trial of this version")
    if theirs["utterances"] != ours["utterances"]:
        raise InputError(run.path, f"another {what} ({path})", same)


def _notes(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """What else differs than the tables show: features under one name that are not the same."""
    first, notes = runs[0].corpus.get("modalities", {}), []
    for name, run in zip(names[1:], runs[1:], strict=True):
        own = run.corpus.get("modalities", {})
        others = [m for m in first if own.get(m, first[m]) != first[m]]
        if others:
            notes.append(f"{name} has other features of {', '.join(others)} than {names[0]}.")
    return notes


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether all entries are the same; in place of a label there may be NaN."""
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f" == second.dtype.kind)


def _among(path: pathlib.Path, paths: Sequence[pathlib.Path]) -> bool:
    return path.resolve() in [other.resolve() for other in paths]


def distinct(paths: Sequence[pathlib.Path]) -> list[str]:
    """Returns the ends of some paths, as long as it takes to tell them apart; the paths all differ.

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
