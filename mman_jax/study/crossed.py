"""Training of one system on each of several corpora, and tests on each."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.data import cross_corpus
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import check_map, read_map
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError, nearest
from mman_jax.inference.model import Model
from mman_jax.study import jobs
from mman_jax.study.compared import distinct
from mman_jax.trial.config import copy
from mman_jax.trial.corpora import EACH
from mman_jax.trial.folder import provenance
from mman_jax.trial.progress import Progress
from mman_jax.trial.stored import load_models, read_results
from mman_jax.trial.trial import Trial, prepare_trial

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
    """Trains a system on each corpus, in `workdir/trained/NAME`, and tests it on all of them.

    A trial is scored on its own corpus as usual. On the test parts of the others (see
    `cross_corpus.test_part`) its model is scored as in a trial with `data.test`, without
    retraining.

    Args:
        config: config of the system. `data.label_map` applies to all corpora, and `data.scale` to
            the test corpora.
        workdir: gets the trials; finished trials are not repeated.
        progress: see `jobs.run`, also for `processes` and `cache`.

    Returns:
        The scores, by `cells` of a corpus `trained` on and a corpus `tested` on.

    Raises:
        InputError: a corpus or the config cannot be used, or two corpora do not match; in this case
            nothing is written.
    """
    configs = _configs(config, paths)
    trials = {name: prepare_trial(settings) for name, settings in configs.items()}
    corpora = {name: trial.parts.corpus for name, trial in trials.items()}
    for name, trial in trials.items():
        if not trial.tasks[0].has_probabilities or not trial.parts.cells.vectors:
            found = "numbers to predict, or words as cells"
            raise InputError("config.data", found, "labels of utterances")
        if len(trial.tasks) > 1:
            found = f"{trial.protocol!r}, with {len(trial.tasks)} tasks"
            raise InputError("config.data.protocol", found, "a protocol with a single task")
        for other in corpora.keys() - {name}:
            _, split = cross_corpus.join(corpora[name], trial.parts.split, corpora[other])
            for notice in split.notices:
                progress.notice(f"{name}, tested on {other}: {notice}")
    folders = {name: workdir / "trained" / name for name in configs}
    todo = [
        jobs.Job(f"trained on {name}", settings, folders[name], baseline=True)
        for name, settings in configs.items()
    ]
    jobs.run(todo, progress, processes, cache)
    stored = {name: read_results(folder / "results.json") for name, folder in folders.items()}
    cells = []
    for name, trial in trials.items():
        (model,) = load_models(folders[name])
        for other, corpus in corpora.items():
            cell = {"trained": name, "tested": other, "test": stored[name]["test"]}
            if other != name:
                cell["test"] = _scores(model, trial, corpus, config.data.scale == EACH)
            elif "baseline" in stored[name]:
                cell["baseline"] = stored[name]["baseline"]["test"]
            cells.append(cell)
    first = next(iter(stored.values()))
    return {
        "command": command,
        **provenance(),
        "system": first["system"],
        "protocol": first["protocol"],
        "classes": first["classes"],
        "seeds": {name: results["seeds"] for name, results in stored.items()},
        "label_map": config.data.label_map,
        "scaled": "each by its own statistics" if config.data.scale else "by the training corpus",
        "scaled_by": config.data.scale_by,
        "corpora": [
            {
                "name": name,
                "path": corpus.source,
                "sha256": corpus.fingerprint(),
                "split": stored[name]["corpus"]["split"],
                "tested_by_others": cross_corpus.test_part(corpus)[1],
                "parts": stored[name]["corpus"]["parts"],
            }
            for name, corpus in corpora.items()
        ],
        "cells": cells,
    }


def _configs(config: ConfigDict, paths: Sequence[pathlib.Path]) -> dict[str, ConfigDict]:
    """Returns the config of the trial on each corpus, by the corpus's short name."""
    if len(paths) < 2:
        raise InputError("corpora", f"{len(paths)} of them", "two or more, separated by commas")
    for number, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise InputError("corpora", f"{path} twice", "each corpus once")
    for field in ("path", "test", "folds", "fold", "split"):
        if config.data[field]:
            found = f"{config.data[field]!r} together with several corpora"
            raise InputError(f"config.data.{field}", found, "none: each corpus has its own")
    scale = config.data.scale
    if scale not in (None, EACH):
        raise InputError("config.data.scale", repr(scale), nearest(scale, [EACH]))
    labels = read_map(config.data.label_map or "")
    known = [read_corpus(path) for path in paths]
    check_map(labels, known)
    names = [_UNFIT.sub("_", name) for name in distinct([p.with_suffix("") for p in paths])]
    configs = {}
    for name, path, corpus in zip(names, paths, known, strict=True):
        label_names = {label.lower() for label in corpus.label_names}
        label_map = ",".join(f"{k}={v}" for k, v in labels.items() if k.lower() in label_names)
        configs[name] = copy(config)
        configs[name].data.update(path=str(path), label_map=label_map or None, scale=None)
    return configs


def _scores(model: Model, trial: Trial, other: Corpus, scale_apart: bool) -> dict[str, Any]:
    """Computes the scores of a trial's model on another corpus's test part."""
    scored = cross_corpus.match(other, trial.parts.corpus, cross_corpus.test_part(other)[0])
    if scale_apart:
        moved = model.scaling.moved(scored, range(len(scored.lengths)))
        model = dataclasses.replace(model, scaling=moved)
    task = trial.tasks[0]
    labels = task.labels(scored)
    answers = model.of_each_seed(scored)
    return task.scores(np.stack([task.tally(x.argmax(-1), labels) for x in answers]))
