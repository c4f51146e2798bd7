"""Readers of `results.json`, with checks, and of the trained models of a trial."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.inference import weights as parameters
from mman_jax.inference.answerer import check_vectors
from mman_jax.inference.model import TENSORS, Model
from mman_jax.tasks import from_results

_EXPECTED = "results that a run wrote"
_LARGEST = 1e15
_NAME = re.compile(r"\w[\w.-]{0,99}")

# Forms of values: a type; a tuple of the forms of several values; or a mapping of fields by name,
# in which "?" marks optional names and "*" stands for any name. `float` is any finite number.
_SPREAD = {"mean": float, "std": float, "per_seed": list, "interval?": (float, float)}
_CLASS = {"precision": _SPREAD, "recall": _SPREAD, "f1": _SPREAD, "support": float}
_CALIBRATION = {"before": float, "after": float, "temperature": float}
_GAP = {"difference": float, "interval": (float, float), "first": str, "second": str}
_GROUP: dict[str, Any] = {"accuracy": _SPREAD, "unweighted_recall": _SPREAD}
_GROUP |= {"utterances": float, "conversations": float}
_UNITS = {"unit": str, "count": float}
_SEES = {"cells": str, "context": bool, "future": bool, "speakers": bool}
_GROUPS = {"groups": {"*": _GROUP}, "gap?": _GAP, "left_out": list}


def read_results(path: pathlib.Path) -> dict[str, Any]:
    """Reads results, and checks all fields that commands read."""
    results = read_json(path)
    # The protocol and the tasks name folders of the run, and must not lead out of it.
    for field in ("system", "protocol"):
        name = results.get(field)
        if field == "system" and isinstance(name, str):
            name = name.replace(":", ".", 1)  # a user-defined class is module:Class
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{path}: {field}", _describe(results.get(field)), "a name")
    if "tasks" not in results:
        _check_scores(results, f"{path}: ")
        _check(results, {"parameters": {"total": float}}, f"{path}: ")
    else:
        _check(results, {"tasks": {"*": dict}}, f"{path}: ")
        if not results["tasks"]:
            raise InputError(f"{path}: tasks", "none", "at least one")
        for name, scores in results["tasks"].items():
            if not _NAME.fullmatch(name):
                raise InputError(f"{path}: tasks", f"{name!r:.60}", "a name")
            _check_scores(scores, f"{path}: tasks.{name}.")
    _check(results, {"sees?": _SEES, "seal?": {"digest": str}}, f"{path}: ")
    if "ceiling" in results:
        _check(results, {"ceiling": float, "ceiling_late_fusion": float}, f"{path}: ")
    return results


def hub_places(results: Mapping[str, Any]) -> dict[str, str]:
    """Returns the subfolder of each task's model in a folder for the hub; `.` for a single one."""
    return {task: task for task in results["tasks"]} if "tasks" in results else {"": "."}


def load_models(
    workdir: pathlib.Path, weights: str | None = None, context: str | None = None
) -> list[Model]:
    """Loads the trained models of a run: one, or for a one-vs-rest protocol one per class.

    The folder is that of the run, or an export of it for the hub.

    Args:
        weights: a file of `mman export`, whose parameters replace those of the models.
        context: `conversation` or `utterance`, see `Model.context`; by default as in training.

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
    places = [workdir / place for place in hub_places(results).values()]
    if (places[0] / TENSORS).is_file():
        models = [Model.from_pretrained(place) for place in places]
    else:
        models = [Model.load(workdir / "model" / task) for task in tasks]
    if context is not None:
        check_vectors(models)
        models = [dataclasses.replace(m, context=context == "conversation") for m in models]
    return models if weights is None else parameters.replace(models, pathlib.Path(weights))


def _check_scores(scores: Mapping[str, Any], prefix: str) -> None:
    """Checks the scores of one task; `prefix` begins the places of errors."""
    try:
        task = from_results(scores)
    except (TypeError, KeyError) as error:
        found = f"an unreadable task ({error!s:.60})"
        raise InputError(prefix.rstrip(": ."), found, _EXPECTED) from error
    part: dict[str, Any] = dict.fromkeys(task.required, _SPREAD)
    others = task.score_names(list(scores.get("test") or ()))
    part |= {f"{key}?": _SPREAD for key in others if key not in task.required}
    part |= {task.constant: float, "calibration?": _CALIBRATION}
    parts = {"validation": part, "test": part | {"per_class?": (_CLASS,) * len(task.classes)}}
    head: dict[str, Any] = parts | {"test_oracle": {task.progress.key: _SPREAD}}
    study: dict[str, Any] = {"towers": {"*": head}, "groups?": {"*": _GROUPS}}
    # Results with intervals name the resampled units.
    spreads = scores["test"].values() if isinstance(scores.get("test"), dict) else ()
    intervals = any(isinstance(x, dict) and "interval" in x for x in spreads)
    optional = "" if intervals else "?"
    gain: dict[str, Any] = {task.headline.key: float, "interval": (float, float)}
    within = {"test": {task.headline.key: _SPREAD}, "cut": float, "difference?": gain}
    study |= {"context?": {"*": within}}
    study |= {"baseline?": parts | {"system": str, f"difference{optional}": gain | _UNITS}}
    study |= {"towers_mean?": parts, f"resampled{optional}": _UNITS}
    _check(scores, head | study, prefix)
    if not all(isinstance(name, str) for name in task.classes):
        raise InputError(f"{prefix}classes", "no names", _EXPECTED)


def _check(value: Any, form: Any, prefix: str) -> None:
    """Checks the form of a value; `prefix` is its place, followed by a separator."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise InputError(prefix[:-1], _describe(value), "fields by name")
        for key, inner in form.items():
            name = key.removesuffix("?")
            for field in value if name == "*" else [name] * (name == key or name in value):
                if (field, value.get(field)) != ("gap", None):  # no two groups can be compared
                    _check(value.get(field), inner, f"{prefix}{field:.60}.")
    elif isinstance(form, tuple):
        if not isinstance(value, list) or len(value) != len(form):
            raise InputError(prefix[:-1], _describe(value), f"{len(form)} values")
        for number, (each, inner) in enumerate(zip(value, form, strict=True)):
            _check(each, inner, f"{prefix}{number}.")
    elif form is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= _LARGEST:
            raise InputError(prefix[:-1], _describe(value), "a finite number")
    elif not isinstance(value, form):
        raise InputError(prefix[:-1], _describe(value), _EXPECTED)


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value!r:.60}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
