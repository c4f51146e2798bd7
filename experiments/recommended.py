"""Comparison of MMAN's settings on several corpora by the loss on unseen speakers.

    python -m experiments.recommended --workdir=runs/panel --hours=8 \
      --corpora=mosi=MOSI.npz,meld=MELD.npz,emodb=EMODB.npz

All conversations outside the test part, which is never read, are divided into six groups that share
no speaker if possible. In each of three folds, one group is scored, the next one selects the epochs
and the temperature, and the others train. A cell of the table is the cross-entropy in nats of the
scored groups, of calibrated probabilities: the mean of the seeds / their ensemble. The last columns
have the mean difference of the ensemble's loss from that of `defaults`, over the folds of all
corpora, and its standard error. The same command skips finished trainings, so it resumes an
interrupted comparison.
"""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from configs import mman
from mman_jax import tasks
from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import folds
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.splits import split
from mman_jax.errors import InputError, nearest
from mman_jax.evaluation.calibration import temper
from mman_jax.files.lock import alone
from mman_jax.study import jobs
from mman_jax.training.mesh import use_cache
from mman_jax.trial.config import change
from mman_jax.trial.progress import Preemption
from mman_jax.trial.stored import load_models, read_results

_GROUPS, _FOLDS = 6, ("1", "3", "5")


def _blocks(**settings: Any) -> dict[str, Any]:
    """Returns settings of all towers by path."""
    blocks = ("network.unimodal.default", "network.unimodal.visual", "network.early")
    return {f"{block}.{name}": x for block in blocks for name, x in settings.items()}


def _fusion(kind: str = "dense", inputs: str = "probabilities", **settings: Any) -> dict[str, Any]:
    """Returns settings of the fusion by path."""
    network = {"network.fusion.kind": kind, "network.fusion.inputs": inputs}
    return network | {f"train.fusion.{name}": x for name, x in settings.items()}


COMBINATIONS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "dropout 0.2": _blocks(dropout=0.2, input_dropout=0.2),
    "dropout 0.4": _blocks(dropout=0.4, input_dropout=0.4),
    "dropout 0.5": _blocks(dropout=0.5, input_dropout=0.5),
    "dropout 0.6": _blocks(dropout=0.6, input_dropout=0.6),
    "dropout of hidden layers 0.5": _blocks(dropout=0.5),
    "dropout of inputs 0.5": _blocks(input_dropout=0.5),
    "decay 1e-3": {"train.towers.weight_decay": 1e-3},
    "decay 1e-2": {"train.towers.weight_decay": 1e-2},
    "decay 1e-1": {"train.towers.weight_decay": 1e-1},
    "learning rate 3e-4": {"train.towers.learning_rate.default": 3e-4},
    "refit": {"train.refit": True},
    "average 0.98": {"train.average": 0.98},
    "warm average 0.98": {"train.average": 0.98, "train.average_warmup": True},
    "skip": _blocks(skip=True),
    "units 100": _blocks(hidden=100, dense=64),
    "mean": _fusion("mean"),
    "mean of logarithms": _fusion("mean", "log_probabilities"),
    "best": _fusion("best"),
    "from start": _fusion(from_start=True),
    "from start + pull 0.1": _fusion(from_start=True, pull=0.1),
    "from start + pull 1": _fusion(from_start=True, pull=1.0),
    "logarithms from start": _fusion(inputs="log_probabilities", from_start=True),
    "out of fold": _fusion(answers="out_of_fold"),
    "out of fold + from start + pull 0.1": _fusion(
        answers="out_of_fold", from_start=True, pull=0.1
    ),
    "mean + refit": _fusion("mean") | {"train.refit": True},
    "mean + dropout 0.5 + refit": _fusion("mean")
    | _blocks(dropout=0.5, input_dropout=0.5)
    | {"train.refit": True},
}
"""Changes of the settings of `configs/mman.py`, by the name of a row."""

_CORPORA = flags.DEFINE_list("corpora", [], "Corpora as NAME=PATH, separated by commas.")
_ONLY = flags.DEFINE_list("only", [], "Combinations to train besides `defaults`; by default, all.")
_HOURS = flags.DEFINE_float("hours", None, "Hours after which no training is started.", 0)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Seeds of each training.", 1)
_EPOCHS = flags.DEFINE_integer("max_epochs", 1000, "Limit on the epochs of every stage.", 1)
_PROCESSES = command.processes_flag("Trainings")
_CACHE = command.cache_flag()
_WORKDIR = command.path_flag("workdir", "Folder for the corpora of the folds and the trainings.")


@dataclasses.dataclass(frozen=True)
class Fold:
    """A fold of a corpus, whose sessions are groups of conversations.

    Attributes:
        corpus: name of the corpus.
        group: the session that is scored.
        path: file of the corpus.
    """

    corpus: str
    group: str
    path: pathlib.Path

    def folder(self, workdir: pathlib.Path, combination: str) -> pathlib.Path:
        """Returns the folder of a training."""
        return workdir / combination.replace(" ", "_") / f"{self.corpus}_{self.group}"

    def config(self, combination: str) -> ConfigDict:
        """Returns the config of a training."""
        config = change(mman.get_config(), COMBINATIONS[combination])
        config.data.update(path=str(self.path), folds="sessions", fold=self.group)
        config.seeds, config.train.max_epochs = _SEEDS.value, _EPOCHS.value
        return config

    def score(self, workdir: pathlib.Path, combination: str) -> tuple[float, float, float] | None:
        """Returns the losses of the seeds and of the ensemble, and the seconds of training."""
        folder = self.folder(workdir, combination)
        if not (folder / "results.json").is_file():
            return None
        (model,) = load_models(folder)
        corpus = read_corpus(self.path)
        test = corpus.select_conversations(np.flatnonzero(np.array(corpus.sessions) == self.group))
        labels = tasks(corpus, "auto")[0].labels(test)
        scored = np.flatnonzero(labels >= 0)
        by_seed = model.of_each_seed(test)[:, scored].astype(np.float64)
        tempered = [temper(x, model.temperature) for x in (*by_seed, by_seed.mean(0))]
        *seeds, ensemble = [-np.log(x[range(len(scored)), labels[scored]]).mean() for x in tempered]
        seconds = sum(read_results(folder / "results.json")["seconds"].values())
        return float(np.mean(seeds)), float(ensemble), seconds


def divide(name: str, corpus: Corpus, path: pathlib.Path) -> list[Fold]:
    """Writes the conversations outside a corpus's test part, and returns their folds."""
    parts = split(corpus)
    corpus = corpus.select_conversations(np.union1d(parts.train, parts.valid))
    groups = folds.inner_groups(corpus, np.arange(len(corpus.lengths)), _GROUPS, f"corpora {name}")
    sessions = tuple(str(group + 1) for group in groups)
    npz.write(dataclasses.replace(corpus, sessions=sessions, split=None), path)
    return [Fold(name, group, path) for group in _FOLDS]


def rows(workdir: pathlib.Path, panel: Mapping[str, list[Fold]]) -> list[tuple[str, ...]]:
    """Returns the table of the combinations that are finished on all folds of a corpus."""
    table, every = [], [fold for of_corpus in panel.values() for fold in of_corpus]
    start = {fold: fold.score(workdir, "defaults") for fold in every}
    for combination in COMBINATIONS:
        scores = {fold: fold.score(workdir, combination) for fold in every}
        cells, seconds, differences = [], [], []
        for of_corpus in panel.values():
            complete = [scores[fold] for fold in of_corpus if scores[fold]]
            if len(complete) < len(of_corpus):
                cells.append("")
                continue
            means = np.mean(complete, axis=0)
            cells.append(f"{means[0]:.4f} / {means[1]:.4f}")
            seconds.append(f"{means[2] * len(complete):.0f}")
            differences += [scores[f][1] - start[f][1] for f in of_corpus if start[f]]
        if any(cells):
            error = np.std(differences, ddof=1) / len(differences) ** 0.5 if differences else np.nan
            mean = np.mean(differences) if differences else np.nan
            table.append((combination, *cells, f"{mean:+.4f}", f"{error:.4f}", " ".join(seconds)))
    return table


def main() -> None:
    """Trains the combinations within the time limit, and prints the table."""
    began, workdir = time.monotonic(), pathlib.Path(_WORKDIR.value)
    for name in _ONLY.value:
        if name not in COMBINATIONS:
            raise InputError("--only", repr(name), nearest(name, COMBINATIONS))
    wanted = [x for x in COMBINATIONS if not _ONLY.value or x in ("defaults", *_ONLY.value)]
    cache = use_cache(_CACHE.value)
    Preemption.listen(interrupts=True)
    with alone(workdir), Screen() as screen:
        panel = {}
        for name, _, path in (entry.partition("=") for entry in _CORPORA.value):
            panel[name] = divide(name, read_corpus(path), workdir / f"{name}.npz")
        for combination in wanted:
            for of_corpus in panel.values():
                if _HOURS.value is not None and time.monotonic() - began > 3600 * _HOURS.value:
                    break
                todo = []
                for fold in of_corpus:
                    title = f"{combination}, {fold.corpus} {fold.group}"
                    folder = fold.folder(workdir, combination)
                    todo.append(jobs.Job(title, fold.config(combination), folder))
                jobs.run(todo, screen, _PROCESSES.value or jobs.default_processes(), cache)
        columns = ("combination", *panel, "difference", "error", "seconds by corpus")
        screen.listing("loss of seeds / of their ensemble", columns, rows(workdir, panel))


if __name__ == "__main__":
    command.run(sys.modules[__name__])
