"""One system trained on each of several corpora and tested on each."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import another, relabelling, scaling
from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import Task
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError, nearest
from mman_jax.evaluation.metrics import confusion
from mman_jax.inference.model import Model
from mman_jax.study import naming, workers
from mman_jax.study.jobs import Job
from mman_jax.trial import results, tested
from mman_jax.trial.prepared import Experiment, prepare_experiment
from mman_jax.trial.progress import Progress
from mman_jax.trial.provenance import provenance
from mman_jax.trial.stored import load_models, read_results

_UNFIT = re.compile(r"[^\w.-]+")


def run(
    config: ConfigDict,
    paths: Sequence[pathlib.Path],
    workdir: pathlib.Path,
    progress: Progress,
    processes: int = 1,
    cache: str = "",
    command: str = "",
) -> dict[str, Any]:
    """Trains a system on each corpus, a trial in `workdir/trained/NAME`, and tests it on each.

    On its own corpus a trial is scored as ever. What it learnt there answers the others' test parts
    (see `another.test_part`), as it would in a trial with `data.test`; it is not trained again.

    Args:
        config: of the system; `data.label_map` holds for all corpora, and `data.scale` for the
            others.
        paths: of the corpora.
        workdir: gets the trials; what is there already is not trained again.
        progress: where progress is shown.
        processes: how many trials run side by side.
        cache: folder of compiled programs for these processes, or empty.
        command: how to do it again.

    Returns:
        Scores by `cells`, each of a corpus `trained` on and one `tested` on.

    Raises:
        InputError: a corpus, the config, or two corpora that do not match; nothing is written then.
    """
    each = _configs(config, paths)
    experiments = {name: prepare_experiment(own) for name, own in each.items()}
    corpora = {name: one.parts.corpus for name, one in experiments.items()}
    for name, one in experiments.items():
        _task(one)
        for other in corpora.keys() - {name}:
            _, split = another.joined(corpora[name], one.parts.split, corpora[other])
            for notice in split.notices:
                progress.notice(f"{name}, tested on {other}: {notice}")
    folders = {name: workdir / "trained" / name for name in each}
    jobs = [Job(f"trained on {name}", own, folders[name]) for name, own in each.items()]
    workers.run(jobs, progress, processes, cache)
    trials = {name: read_results(folder / "results.json") for name, folder in folders.items()}
    cells = []
    for name, one in experiments.items():
        (model,) = load_models(folders[name])
        for other, corpus in corpora.items():
            test = trials[name]["test"]
            if other != name:
                test = _scores(model, one, corpus, config.data.scale == tested.EACH)
            cells.append({"trained": name, "tested": other, "test": test})
    first = next(iter(trials.values()))
    return {
        "command": command,
        **provenance(),
        "system": first["system"],
        "protocol": first["protocol"],
        "classes": first["classes"],
        "seeds": {name: trial["seeds"] for name, trial in trials.items()},
        "label_map": config.data.label_map,
        "scaled": "each by its own statistics" if config.data.scale else "by the training corpus",
        "corpora": [_about(name, trials[name], corpora[name]) for name in each],
        "cells": cells,
    }


def _configs(config: ConfigDict, paths: Sequence[pathlib.Path]) -> dict[str, ConfigDict]:
    """The config of the trial on each corpus by its short name."""
    if len(paths) < 2:
        raise InputError("corpora", f"{len(paths)} of them", "two or more, separated by commas")
    for number, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise InputError("corpora", f"{path} twice", "each corpus once")
    for field in ("path", "test", "folds", "fold", "split"):
        if config.data[field]:
            found = f"{config.data[field]!r} beside several corpora"
            raise InputError(f"config.data.{field}", found, "none: each has its own")
    scale = config.data.scale
    if scale not in (None, tested.EACH):
        raise InputError("config.data.scale", repr(scale), nearest(scale, [tested.EACH]))
    labels = relabelling.read(config.data.label_map or "")
    known = [read_corpus(path) for path in paths]
    relabelling.check(labels, known)
    names = [_UNFIT.sub("_", name) for name in naming.distinct([p.with_suffix("") for p in paths])]
    each = {}
    for name, path, corpus in zip(names, paths, known, strict=True):
        there = {label.lower() for label in corpus.label_names}
        own = ",".join(f"{k}={v}" for k, v in labels.items() if k.lower() in there)
        each[name] = config.copy_and_resolve_references().unlock()
        each[name].data.update(path=str(path), label_map=own or None, scale=None)
    return each


def _scores(model: Model, experiment: Experiment, other: Corpus, own_scale: bool) -> dict[str, Any]:
    """Of a model of this experiment on another corpus's test part."""
    task = _task(experiment)
    scored = another.matched(other, experiment.parts.corpus, another.test_part(other)[0])
    if own_scale:
        fitted = scaling.fit(scored, range(len(scored.lengths)))
        model = dataclasses.replace(model, scaling=fitted)
    labels = task.labels(scored)
    answers = model.of_each_seed(scored)
    return results.scores(np.stack([confusion(a[None], labels[None]) for a in answers]))


def _task(experiment: Experiment) -> Task:
    if experiment.targets or experiment.parts.laid.kind != "utterances":
        found = "numbers to answer, or words as cells"
        raise InputError("config.data", found, "labels of utterances")
    if len(experiment.tasks) > 1:
        found = f"{experiment.config.data.protocol!r}, of {len(experiment.tasks)} tasks"
        raise InputError("config.data.protocol", found, "one of a single task")
    return experiment.tasks[0]


def _about(name: str, trial: Mapping[str, Any], corpus: Corpus) -> dict[str, Any]:
    return {
        "name": name,
        "path": corpus.source,
        "sha256": corpus.fingerprint(),
        "split": trial["corpus"]["split"],
        "tested_by_others": another.test_part(corpus)[1],
        "parts": trial["corpus"]["parts"],
    }
