"""Functions that read each kind of input completely: a case succeeds if they return."""

import functools
import json
import pathlib
from typing import Any

import numpy as np

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import read_json
from mman_jax.inference import lines as turns
from mman_jax.inference.answerer import Answerer, read_states
from mman_jax.inference.model import Model
from mman_jax.training import checkpoints
from mman_jax.trial import stored
from tests.robustness import examples

model = Model.load
extraction = Extraction.load


def corpus(path: pathlib.Path) -> None:
    """Reads a corpus in any layout, and every value in it."""
    for array in read_corpus(path).features.values():
        np.asarray(array).sum(dtype=np.float64)


def run(path: pathlib.Path) -> None:
    """Reads the JSON files of a finished run and shows their numbers."""
    json.dumps(read_json(path / "config.json"))
    Screen(quiet=True).table(stored.read_results(path / "results.json"))


def lines(path: pathlib.Path) -> None:
    """Reads utterances, one JSON object per line."""
    with path.open("rb") as file:
        for _ in turns.read(file, examples.DIMS, str(path)):
            pass


def checkpoint(path: pathlib.Path) -> None:
    """Reads a checkpoint."""
    if checkpoints.restore(path) is None:
        raise InputError(path, "no checkpoint", "one")


def states(path: pathlib.Path) -> None:
    """Reads the states of conversations."""
    read_states(path, *_template())


@functools.cache
def _template() -> tuple[Any, str]:
    answerer = Answerer([examples.model()])
    return answerer.begin(), answerer.identity
