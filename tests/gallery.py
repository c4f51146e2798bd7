"""Finished trials that tests read, each trained once per session by the first process that needs
it.

Tests read these folders and never write to them; a test that changes one works on a `copy`.
"""

import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence
from mman_jax.study import folds
from mman_jax.trial import config as configs
from mman_jax.trial import runner
from tests import tiny
from tests.fixtures import blank

SESSION = "MMAN_JAX_TEST_SESSION"
"""The variable with the folder that all processes of a test session share."""


class Finished(NamedTuple):
    """A trial: its settings, its folder, and its results as `runner.run` returned them."""

    settings: ConfigDict
    folder: pathlib.Path
    results: dict[str, Any]

    @property
    def config(self) -> ConfigDict:
        """A config of the trial, which a test may change."""
        return self.settings.copy_and_resolve_references()

    @property
    def analysis(self) -> dict[str, Any]:
        """The analysis of the trial's only task."""
        return json.loads((self.folder / "analysis.json").read_text())["auto"]

    @property
    def corpus(self) -> Corpus:
        """The corpus of the trial, with all modalities."""
        return npz.read(pathlib.Path(self.config.data.path))

    def copy(self, folder: pathlib.Path) -> pathlib.Path:
        """Copies the trial into a folder, where it can be changed."""
        return shutil.copytree(self.folder, folder, dirs_exist_ok=True)


def once(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Returns a folder of the session, which the first process that needs it creates."""
    folder = pathlib.Path(os.environ[SESSION], "gallery", name)
    folder.parent.mkdir(exist_ok=True)
    marker = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            make(folder)
            marker.touch()
    return folder


def write_corpus(folder: pathlib.Path, corpus: Corpus) -> pathlib.Path:
    npz.write(corpus, folder / "corpus.npz")
    return folder / "corpus.npz"


def corpus_file() -> pathlib.Path:
    """The path of the corpus of `tiny`."""
    return once("corpus", lambda folder: write_corpus(folder, tiny.corpus())) / "corpus.npz"


def finished(name: str) -> Finished:
    """Returns a trial of `TRIALS`, training it if no process of the session has yet."""
    corpus, change, analyse = TRIALS[name]

    def make(folder: pathlib.Path) -> None:
        path = write_corpus(folder, corpus())
        with blank(), Screen(quiet=True) as screen:
            config = change(path)
            if folds.several(config):
                folds.run(config, folder / "run", screen)
            else:
                runner.run(config, folder / "run", screen, analyse=analyse)

    folder = once(name, make)
    results = json.loads((folder / "run" / "results.json").read_text())
    return Finished(change(folder / "corpus.npz"), folder / "run", results)


# Corpora.


def rated() -> Corpus:
    """The corpus of `tiny` with ratings that follow its text, some of them missing, and votes."""
    corpus, random = tiny.corpus(), np.random.default_rng(0)
    rating = corpus.features["text"][:, 0] + 0.5 * random.normal(size=len(corpus.labels))
    sentiment = np.clip(rating, -3, 3).astype(np.float32)
    stars = (50 + 10 * rating).astype(np.float32)
    sentiment[::7], stars[::5] = np.nan, np.nan
    votes = {
        name: random.integers(0, 4, len(corpus.labels)).astype(np.int32)
        for name in corpus.label_names
    }
    in_test = np.repeat([part == "test" for part in corpus.split], corpus.lengths)
    targets = {
        "sentiment": sentiment,
        "stars": stars,
        "constant": np.ones_like(stars),
        "untested": np.where(in_test, np.float32(np.nan), stars),
        "none": np.full_like(stars, np.nan),
    }
    return dataclasses.replace(corpus, targets=targets, votes=votes)


def in_sessions() -> Corpus:
    """Nine conversations of three sessions, whose names cannot be names of folders."""
    corpus = tiny.corpus((5, 2, 2))
    return dataclasses.replace(corpus, sessions=tuple(f"S/{1 + i % 3}" for i in range(9)))


def sequences(seed: int = 0) -> Corpus:
    """Six conversations of two or three utterances of up to five words; two have no word."""
    random = np.random.default_rng(seed)
    lengths = np.array([2, 3, 2, 2, 2, 3], np.int32)
    counts = random.integers(1, 6, lengths.sum()).astype(np.int32)
    counts[[1, -1]] = 0
    total = int(counts.sum())
    starts = np.concatenate([np.arange(c) for c in counts])
    text = Sequence(
        random.normal(size=(total, 3)).astype(np.float32),
        counts,
        np.stack([starts, starts + 1], axis=1).astype(np.float64),
    )
    frames = np.repeat(starts, 3) + np.tile([0.1, 0.4, 0.8], total)
    speech = Sequence(
        random.normal(size=(3 * total, 2)).astype(np.float32),
        3 * counts,
        np.stack([frames, frames + 0.05], axis=1),
    )
    return Corpus(
        features={},
        labels=np.arange(lengths.sum(), dtype=np.int32) % 2,
        label_names=("no", "yes"),
        lengths=lengths,
        conversation_ids=tuple("abcdef"),
        utterance_ids=tuple(f"u{u}" for length in lengths for u in range(length)),
        split=("train", "train", "train", "train", "valid", "test"),
        sequences={"text": text, "speech": speech},
    )


# Configs.


def on(path: pathlib.Path, config: ConfigDict | None = None, **data: Any) -> ConfigDict:
    """Returns a config, by default of a small MMAN with two seeds, on a corpus."""
    if config is None:
        config = tiny.recipe(epochs=2)
        config.seeds = 2
    config.data.update(path=str(path), **data)
    return config


def numbers(path: pathlib.Path, target: str = "sentiment,stars", **data: Any) -> ConfigDict:
    """Returns a config of numbers: out-of-fold fusion, an average of weights, and a refit."""
    config = tiny.dense(epochs=2)
    config.train.update(select="calibrated", average=0.5, refit=True)
    config.train.fusion.answers = "out_of_fold"
    config.seeds = 2
    return on(path, config, target=target, modalities="text", **data)


def votes(path: pathlib.Path) -> ConfigDict:
    """Returns a config of soft labels."""
    config = tiny.dense(epochs=2)
    config.train.labels = "votes"
    return on(path, config)


def refit(path: pathlib.Path) -> ConfigDict:
    """Returns a config of classes that is trained on validation data again."""
    config = tiny.dense(epochs=3)
    config.train.refit, config.seeds = True, 2
    return on(path, config, modalities="text")


def estimator(path: pathlib.Path) -> ConfigDict:
    """Returns a config of an estimator, which is fitted once for the three seeds."""
    config = configs.derive(tiny.recipe(), "rozgic")
    config.seeds = 3
    return on(path, config)


def by_sessions(path: pathlib.Path) -> ConfigDict:
    """Returns a config of every fold by session."""
    config = tiny.dense(epochs=2)
    config.seeds, config.checkpoint_seconds = 2, 0.0
    return on(path, config, folds="sessions")


def over(cells: str, system: str, path: pathlib.Path, **network: Any) -> ConfigDict:
    """Returns a config of one epoch of a system whose cells are words or frames."""
    config = configs.of(system)
    config.network.update(network)
    config.train.max_epochs = 1
    config.mesh.update(seeds=1, rows=1)
    words = {"words": 4} if cells == "words" else {}
    return on(path, config, cells=cells, **words)


def words(path: pathlib.Path) -> ConfigDict:
    return over("words", "raven", path, projection=3, frames=3, hidden=4)


def frames(path: pathlib.Path) -> ConfigDict:
    sizes = {"units": 8, "recurrent": 8, "attended": 3, "frames": 4, "parts": 4, "words": 3}
    return over("frames", "tripathi", path, channels=(3,), **sizes)


TRIALS = {
    "classes": (tiny.corpus, on, False),
    "votes": (rated, votes, False),
    "numbers": (rated, numbers, False),
    "refit": (tiny.corpus, refit, False),
    "estimator": (tiny.corpus, estimator, False),
    "folds": (in_sessions, by_sessions, False),
    "words": (sequences, words, True),
    "frames": (sequences, frames, True),
}
"""By name: the corpus, the config on its file, and whether attention and the like are analysed."""
