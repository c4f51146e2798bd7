"""Readers of `results.json`, with checks, and of the trained models of a trial."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.inference import weights as parameters
from mman_jax.inference.answerer import check_vectors
from mman_jax.inference.model import Model
from mman_jax.tasks import Task, from_results

_EXPECTED = "results that a run wrote"
_LARGEST = 1e15
_NAME = re.compile(r"\w[\w.-]{0,99}")


def read_results(path: pathlib.Path) -> dict[str, Any]:
    """Reads results, and checks all fields that commands read.

    Raises:
        InputError: a field is missing, or its value is of another type.
    """
    results = read_json(path)
    # The protocol and the tasks name folders of the run, and must not lead out of it.
    for field in ("system", "protocol"):
        name = results.get(field)
        if field == "system" and isinstance(name, str):
            name = name.replace(":", ".", 1)  # a user-defined class is module:Class
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{path}: {field}", _describe(results.get(field)), "a name")
    if "tasks" not in results:
        _check_scores(results, path, "")
        _number(_part(results, "parameters", path), "total", f"{path}: parameters")
    else:
        tasks = _part(results, "tasks", path)
        if not tasks:
            raise InputError(f"{path}: tasks", "none", "at least one")
        for name in tasks:
            if not _NAME.fullmatch(name):
                raise InputError(f"{path}: tasks", f"{name!r:.60}", "a name")
            _check_scores(_part(tasks, name, f"{path}: tasks"), path, f"tasks.{name}.")
    for field in ("ceiling", "ceiling_late_fusion") if "ceiling" in results else ():
        _number(results, field, path)
    return results


def load_models(
    workdir: pathlib.Path, weights: str | None = None, context: str | None = None
) -> list[Model]:
    """Loads the trained models of a run: one, or one per class after a one-vs-rest protocol.

    Args:
        workdir: folder of the run.
        weights: a file of `mman export`, whose parameters replace those of the models.
        context: `conversation` or `utterance`, see `Model.context`; None: as in training.

    Raises:
        InputError: there are no models, the weights do not fit, or a context is given for models
            that read words or frames.
    """
    path = workdir / "results.json"
    if not path.is_file():
        raise InputError(workdir, "no trained model", "the folder of a finished run")
    results = read_results(path)
    folds = sorted(path.name for path in (workdir / "folds").glob("*") if path.is_dir())
    if folds and not (workdir / "model").is_dir():
        found = f"a run over folds, each with its own model ({', '.join(folds[:5])})"
        raise InputError(workdir, found, f"one of them, {workdir / 'folds' / folds[0]}")
    tasks = list(results["tasks"]) if "tasks" in results else [results["protocol"]]
    models = [Model.load(workdir / "model" / task) for task in tasks]
    if context is not None:
        check_vectors(models)
        models = [dataclasses.replace(m, context=context == "conversation") for m in models]
    return models if weights is None else parameters.replace(models, pathlib.Path(weights))


def _check_scores(scores: Mapping[str, Any], path: pathlib.Path, within: str) -> None:
    task = _task(scores, f"{path}: {within}".rstrip(": ."))
    _check_head(scores, path, within, task)
    if "per_class" in scores["test"]:
        place = f"{path}: {within}test.per_class"
        _check_classes(scores.get("classes"), scores["test"]["per_class"], place)
    if "groups" in scores:
        columns = _part(scores, "groups", f"{path}: {within}".rstrip(": ."))
        for name in columns:
            place = f"{path}: {within}groups.{name:.60}"
            _check_groups(_part(columns, name, f"{path}: {within}groups"), place)
    place = f"{path}: {within}towers"
    for name, tower in _part(scores, "towers", f"{path}: {within}".rstrip(": ")).items():
        if not isinstance(tower, dict):
            raise InputError(f"{place}.{name:.60}", f"a {type(tower).__name__}", _EXPECTED)
        _check_head(tower, path, f"{within}towers.{name:.60}.", task)
    if "towers_mean" in scores:
        mean = _part(scores, "towers_mean", f"{path}: {within}".rstrip(": ."))
        _check_head(mean, path, f"{within}towers_mean.", task, ("test", "validation"))


def _task(scores: Mapping[str, Any], place: str) -> Task:
    try:
        return from_results(scores)
    except (TypeError, KeyError) as error:
        raise InputError(place, f"an unreadable task ({error!s:.60})", _EXPECTED) from error


def _check_classes(classes: Any, per_class: Any, place: str) -> None:
    names = classes if isinstance(classes, list) else []
    if not isinstance(per_class, list) or len(per_class) != len(names):
        raise InputError(place, "not one entry per class", _EXPECTED)
    for name, scores in zip(names, per_class, strict=True):
        where = f"{place} of {name!r:.60}"
        if not isinstance(name, str) or not isinstance(scores, dict):
            raise InputError(where, "no scores by name", _EXPECTED)
        for metric in ("precision", "recall", "f1"):
            _check_spread(scores, metric, where)
        _number(scores, "support", where)


def _check_groups(column: Any, place: str) -> None:
    groups = _part(column, "groups", place)
    for name in groups:
        scores = _part(groups, name, f"{place}.groups")
        for metric in ("accuracy", "unweighted_recall"):
            _check_spread(scores, metric, f"{place}.groups.{name:.60}")
        for field in ("utterances", "conversations"):
            _number(scores, field, f"{place}.groups.{name:.60}")
    if not isinstance(column.get("left_out"), list):
        raise InputError(f"{place}: left_out", _describe(column.get("left_out")), "a list")
    gap = column.get("gap")
    if gap is None:
        return
    _number(_part(column, "gap", place), "difference", f"{place}.gap")
    ends = gap.get("interval")
    if not isinstance(ends, list) or len(ends) != 2:
        raise InputError(f"{place}.gap: interval", _describe(ends), "two numbers")
    for end in (0, 1):
        _number(dict(enumerate(ends)), end, f"{place}.gap.interval")
    for field in ("first", "second"):
        if not isinstance(gap.get(field), str):
            raise InputError(f"{place}.gap: {field}", _describe(gap.get(field)), "a name")


def _check_spread(scores: Mapping[str, Any], metric: str, place: str) -> None:
    spread = _part(scores, metric, place)
    for field in ("mean", "std"):
        _number(spread, field, f"{place}.{metric}")
    if not isinstance(spread.get("per_seed"), list):
        raise InputError(f"{place}.{metric}", "no list per_seed", _EXPECTED)


def _check_head(
    head: Mapping[str, Any],
    path: pathlib.Path,
    within: str,
    task: Task,
    parts: Sequence[str] = ("test", "validation", "test_oracle"),
) -> None:
    for part in parts:
        place = f"{path}: {within}{part}"
        scores = _part(head, part, f"{path}: {within}".rstrip(": ."))
        if part == "test_oracle":
            _check_spread(scores, task.progress.key, place)
            continue
        for score in (*task.required, *task.score_names(list(scores))):
            _check_spread(scores, score, place)
        if "calibration" in scores:
            calibration = _part(scores, "calibration", place)
            for field in ("before", "after", "temperature"):
                _number(calibration, field, f"{place}.calibration")
        _number(scores, task.constant, place)


def _part(fields: Mapping[str, Any], field: str, place: object) -> dict[str, Any]:
    part = fields.get(field)
    if not isinstance(part, dict):
        found = f"no {field!r}" if part is None else f"{field!r} is a {type(part).__name__}"
        raise InputError(place, found, _EXPECTED)
    return part


def _number(fields: Mapping[Any, Any], field: str | int, place: object) -> None:
    value = fields.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise InputError(f"{place}: {field}", _describe(value), "a finite number")


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value!r:.60}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
