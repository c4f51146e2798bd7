"""Predictions of any system in a CSV file, read as a finished trial.

The file has a row for each utterance, with the columns `conversation_id`, `utterance_id` and either
`label`, or `p_<class>` for each class, or both; for numbers, one column for each target. A column
`seed`, if any, distinguishes several trainings of the system. Other columns are ignored. With a
one-vs-rest protocol, the label names every class that is present, joined by `+`, or is `none`, and
`p_<class>` is the probability of that class against all others.

S seeds, N scored test utterances, C classes or targets.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import csv_tables
from mman_jax.errors import InputError, nearest, reading
from mman_jax.evaluation import calibration
from mman_jax.files.whole import check_regular
from mman_jax.study.finished import Run
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import NONE, over_seeds

SYSTEM = "predictions"
"""Name of a file's system in tables."""

_PLACE = ("conversation_id", "utterance_id")
_SEED = "seed"
_APART = 0.01
"""Largest distance of the sum of rounded probabilities from one."""

_RENAMED = re.compile(r"( \(test\))+$")
"""Suffix that `data.cross_corpus` appends to ids that are in both corpora."""


def is_file(path: pathlib.Path) -> bool:
    """Returns whether a path is a file of predictions rather than the folder of a trial."""
    return path.suffix.lower() == ".csv" or path.is_file()


class _File:
    """The rows of a file for the scored test utterances, by seed.

    Attributes:
        path: path of the file.
        columns: the index of each column by its name.
        seeds: names of the S seeds, in the order of the file.
        rows: for each seed, the lines and cells of the N scored utterances.
    """

    def __init__(self, path: pathlib.Path, known: Mapping[str, list[str]], wanted: list):
        """Reads a file.

        Args:
            known: ids of all utterances of the corpus by conversation.
            wanted: conversation and id of the N scored utterances.
        """
        check_regular(path, "a CSV file of predictions, or the folder of a finished trial")
        names, rows = csv_tables.rows(path)
        self.path, self.columns = path, {name: i for i, name in enumerate(names)}
        for name in _PLACE:
            if name not in names:
                raise InputError(f"{path}: column {name}", "missing", ", ".join(_PLACE))
        utterances = {(c, u) for c, ids in known.items() for u in ids}
        by_seed: dict[str, dict[tuple[str, str], tuple[int, list[str]]]] = {}
        for line, row in rows:
            key = (self._cell(row, _PLACE[0]), self._cell(row, _PLACE[1]))
            if key not in utterances:
                found = f"{_named(key)}, which the corpus of the runs does not have"
                raise InputError(f"{path}: line {line}", found, "utterances of that corpus")
            of_seed = by_seed.setdefault(self._cell(row, _SEED) if _SEED in names else "", {})
            if key in of_seed:
                found = f"{_named(key)} again, after line {of_seed[key][0]}"
                raise InputError(f"{path}: line {line}", found, "each utterance once")
            of_seed[key] = line, row
        for seed, of_seed in by_seed.items():
            missing = [key for key in wanted if key not in of_seed]
            if missing:
                found = f"no prediction of {len(missing)} of {len(wanted)} scored test utterances"
                found += f" by seed {seed}" if seed else ""
                expected = f"all of them, such as {_named(missing[0])}"
                raise InputError(path, found, expected)
        self.seeds = list(by_seed)
        self.rows = [[of_seed[key] for key in wanted] for of_seed in by_seed.values()]

    def _cell(self, row: list[str], column: str) -> str:
        return row[self.columns[column]].strip()

    def texts(self, column: str) -> list[list[tuple[str, str]]]:
        """Returns the place and the text [S, N] of the cells of a column."""
        return [
            [(f"{self.path}: line {line}, {column}", self._cell(row, column)) for line, row in rows]
            for rows in self.rows
        ]

    def numbers(self, column: str, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
        """Returns the numbers [S, N] of a column, each from `low` to `high`."""
        span = "a finite number" if low == -np.inf else f"a number from {low:g} to {high:g}"

        def number(place: str, text: str) -> float:
            try:
                value = float(text)
            except ValueError:
                value = np.nan
            if not (np.isfinite(value) and low <= value <= high):
                raise InputError(place, repr(text), span)
            return value

        return np.array([[number(*cell) for cell in seed] for seed in self.texts(column)])

    def check_sums(self, probabilities: np.ndarray) -> None:
        """Raises an InputError unless probabilities [S, N, C] sum to one."""
        sums = probabilities.sum(-1)
        for seed, i in np.argwhere(np.abs(sums - 1) > _APART):
            place = f"{self.path}: line {self.rows[seed][i][0]}"
            raise InputError(place, f"probabilities that sum to {sums[seed, i]:.4g}", "a sum of 1")


def read(path: pathlib.Path, of: Run) -> Run:
    """Reads the predictions of another system for the scored test utterances of a trial.

    Labels, conversations, groups and raters are those of the trial.

    Raises:
        InputError: the file cannot be read; or it lacks an utterance or a column, or has one twice,
            or an utterance of another corpus; or a label, probability or number is impossible.
    """
    known = (of.corpus.get("test") or of.corpus).get("ids")
    if not isinstance(known, dict):
        expected = "a trial of this version of mman_jax"
        raise InputError(of.path, "a trial without ids of utterances", f"{expected} before {path}")
    columns = next(iter(of.tasks.values()))[1]
    places = zip(columns["conversation"].tolist(), columns["position"].tolist(), strict=True)
    with reading(of.path, "ids of the utterances that were scored"):
        named = [(c if c in known else _RENAMED.sub("", c), p) for c, p in places]
        wanted = [(c, known[c][p]) for c, p in named]
    file = _File(path, known, wanted)
    tasks, scored, distances = {}, {}, {}
    for name, (_, utterances) in of.tasks.items():
        theirs = of.results["tasks"][name]
        task, labels = from_results(theirs, name), utterances["label"]
        answers, probabilities = _answers(file, task, one_vs_rest=len(of.tasks) > 1)
        tasks[name] = answers, utterances
        test = task.scores(np.stack([task.tally(x, labels) for x in answers]))
        test[task.constant] = theirs["test"][task.constant]
        if "raters" in utterances:
            distances[name] = task.distances(utterances["raters"], answers, probabilities)
            test |= {key: over_seeds(x.mean(1)) for key, x in distances[name].items()}
        if probabilities is not None:
            bins = calibration.reliability(probabilities.mean(0), labels)
            test["calibration"] = {"before": calibration.expected_calibration_error(bins)}
        seeds = file.seeds if file.seeds != [""] else [NONE]
        scored[name] = {**task.describe(), "seeds": seeds, "test": test}
    head: dict[str, Any] = {"system": SYSTEM, "protocol": of.results["protocol"], "tasks": scored}
    head["corpus"] = {**of.results["corpus"], "dimensions": {}}
    corpus = {**of.corpus, "modalities": {}}
    return Run(path, head, corpus, of.split, tasks, distances)


def _answers(file: _File, task: Task, one_vs_rest: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the answers [S, N, ...] of a file, and the probabilities [S, N, C] if it has any."""
    if not task.has_probabilities:
        for name in task.classes:
            if name not in file.columns:
                raise InputError(f"{file.path}: column {name}", "missing", "one for each target")
        return np.stack([file.numbers(name) for name in task.classes], axis=-1), None
    classes = task.classes[-1:] if one_vs_rest else task.classes
    lacking = [name for name in classes if f"p_{name}" not in file.columns]
    probabilities = None
    if not lacking:
        each = np.stack([file.numbers(f"p_{name}", 0, 1) for name in classes], axis=-1)
        probabilities = np.concatenate([1 - each, each], axis=-1) if one_vs_rest else each
        file.check_sums(probabilities)
        unknown = [x for x in file.columns if x.startswith("p_") and x[2:] not in task.classes]
        if unknown and not one_vs_rest:
            expected = nearest(unknown[0][2:], classes)
            found = f"unknown class {unknown[0][2:]!r:.40}"
            raise InputError(f"{file.path}: column {unknown[0]}", found, expected)
    if "label" not in file.columns:
        if probabilities is None:
            expected = f"label, or p_<class> for {', '.join(classes)}"
            raise InputError(f"{file.path}: column p_{lacking[0]}", "missing", expected)
        return probabilities.argmax(-1), probabilities
    index = {name: number for number, name in enumerate(task.classes)}

    def answer(place: str, text: str) -> int:
        if one_vs_rest:
            return int(classes[0] in text.split("+"))
        if text not in index:
            raise InputError(place, f"unknown {text!r:.40}", nearest(text, index))
        return index[text]

    labels = [[answer(*cell) for cell in seed] for seed in file.texts("label")]
    return np.array(labels), probabilities


def _named(key: tuple[str, str]) -> str:
    return f"utterance {key[1]!r:.60} of conversation {key[0]!r:.60}"
