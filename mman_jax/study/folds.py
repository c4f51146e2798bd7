"""Cross-validation: a trial on every fold of a corpus, and their pooled scores."""

import json
import pathlib
import re
from collections.abc import Sequence

from ml_collections import ConfigDict

from mman_jax.data import folds
from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import check_folds
from mman_jax.errors import InputError
from mman_jax.study import jobs, pooled
from mman_jax.trial import boards, folder, tasks
from mman_jax.trial.config import copy
from mman_jax.trial.corpora import load_corpus
from mman_jax.trial.progress import Progress
from mman_jax.trial.trial import prepare_trial

_NAME = re.compile(r"\w[\w.-]{0,99}")


def several(config: ConfigDict) -> bool:
    """Returns whether a config asks for all folds."""
    return bool(config.data.folds) and not config.data.fold


def check(config: ConfigDict) -> None:
    """Refuses folds in several processes of one run.

    Raises:
        InputError: these are asked for.
    """
    if several(config) and config.distributed:
        expected = "one machine, or one fold (config.data.fold)"
        raise InputError("config.distributed", repr(config.distributed), expected)


def configs(config: ConfigDict, corpus: Corpus) -> dict[str, ConfigDict]:
    """Returns the config of each fold by its name; without folds, the config itself by "".

    Raises:
        InputError: folds that the corpus does not have, or that cannot be trained or scored.
    """
    if not several(config):
        return {"": config}
    if config.data.split:
        found = f"{config.data.split!r}, and folds by {config.data.folds}"
        raise InputError("data.split", found, "one of the two")
    splits = folds.folds(corpus, config.data.folds)
    check_folds(corpus, splits, tasks.of_config(config, corpus))
    by_fold = {fold.name: copy(config) for fold in splits}
    for name, own in by_fold.items():
        own.data.fold = name
    return by_fold


def fold_folders(workdir: pathlib.Path, names: list[str]) -> dict[str, pathlib.Path]:
    """Returns the folder of each fold: its name, or its number if that cannot name a folder."""
    if names == [""]:
        return {"": workdir}
    return {
        name: workdir / "folds" / (name if _NAME.fullmatch(name) else f"~{number + 1}")
        for number, name in enumerate(names)
    }


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    progress: Progress,
    processes: int = 1,
    cache: str = "",
    board_names: Sequence[str] = (),
) -> None:
    """Trains a system on every fold and writes the pooled `results.json`, or resumes that.

    Args:
        config: of the system; `data.folds` says which folds.
        workdir: gets a trial a fold under `folds`, `confusion.png` and `results.json`.
        progress: where progress is shown.
        processes: how many folds are trained side by side.
        cache: folder of compiled programs for these processes, or empty.
        board_names: the boards where each fold's curves go, too.

    Raises:
        InputError: if the config, its corpus or its folds cannot be used; nothing is written then.
    """
    check(config)
    boards.check(board_names)
    stored_config = json.loads(config.to_json())
    del stored_config["distributed"]
    finished = folder.finished(workdir, stored_config)
    if finished:
        progress.line(f"{workdir} holds this run, finished: nothing to do")
        progress.table(finished)
        return
    corpus = load_corpus(config.data)
    by_fold = configs(config, corpus)
    prepare_trial(next(iter(by_fold.values())))  # checks all that folds have in common
    folder.claim(workdir, stored_config, corpus)
    folders = fold_folders(workdir, list(by_fold))
    todo = [
        jobs.Job(f"fold {name}", own, folders[name], board_names=board_names)
        for name, own in by_fold.items()
    ]
    jobs.run(todo, progress, processes, cache)
    summary = pooled.results_of(pooled.read(folders))
    folder.write_results(workdir, summary)
    progress.table(summary)
