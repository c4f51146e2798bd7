"""A trial on every fold of a corpus, side by side, and the scores of all of them together."""

import json
import pathlib
import re
from collections.abc import Sequence

from ml_collections import ConfigDict

from mman_jax.data import folds
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.study import pooled, workers
from mman_jax.study.jobs import Job
from mman_jax.trial import boards, experiment, folder, tasks
from mman_jax.trial.prepared import prepare_experiment
from mman_jax.trial.progress import Progress
from mman_jax.trial.tested import load_corpus

_NAME = re.compile(r"\w[\w.-]{0,99}")


def several(config: ConfigDict) -> bool:
    """Whether a config asks for all folds."""
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
    """The config of each fold by its name; where there are none, the config itself by "".

    Raises:
        InputError: folds that the corpus does not have, or that cannot be trained or scored.
    """
    if not several(config):
        return {"": config}
    if config.data.split:
        found = f"{config.data.split!r}, and folds by {config.data.folds}"
        raise InputError("data.split", found, "one of the two")
    made = folds.folds(corpus, config.data.folds)
    folds.check(corpus, made, tasks.of_config(config, corpus))
    found = {}
    for fold in made:
        found[fold.name] = config.copy_and_resolve_references().unlock()
        found[fold.name].data.fold = fold.name
    return found


def places(workdir: pathlib.Path, names: list[str]) -> dict[str, pathlib.Path]:
    """The folder of each fold: of its name, or of its number where that cannot name a folder."""
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
    shown: Sequence[str] = (),
) -> None:
    """Trains a system on every fold and writes the pooled `results.json`; again, it goes on.

    Args:
        config: of the system; `data.folds` says which folds.
        workdir: gets a trial a fold under `folds`, `confusion.png` and `results.json`.
        progress: where progress is shown.
        processes: how many folds are trained side by side.
        cache: folder of compiled programs for these processes, or empty.
        shown: the boards where each fold's curves go, too.

    Raises:
        InputError: if the config, its corpus or its folds cannot be used; nothing is written then.
    """
    check(config)
    boards.check(shown)
    chosen = json.loads(config.to_json())
    del chosen["distributed"]
    done = experiment.finished(workdir, chosen)
    if done:
        progress.line(f"{workdir} holds this run, finished: nothing to do")
        progress.table(done)
        return
    corpus = load_corpus(config.data)
    each = configs(config, corpus)
    prepare_experiment(next(iter(each.values())))
    folder.claim(workdir, chosen, corpus)
    where = places(workdir, list(each))
    jobs = [Job(f"fold {name}", own, where[name], shown=shown) for name, own in each.items()]
    workers.run(jobs, progress, processes, cache)
    summary = pooled.results_of(pooled.read(where))
    experiment.write(workdir, summary)
    progress.table(summary)
