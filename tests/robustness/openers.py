"""What reads each kind of input, to its end: a case succeeds where this returns."""

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
from mman_jax.inference import states as kept
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.training import checkpoints
from mman_jax.trial import stored
from tests.robustness import examples


def corpus(path: pathlib.Path) -> None:
    """Reads a corpus in any layout, and every value in it."""
    for array in read_corpus(path).features.values():
        np.asarray(array).sum(dtype=np.float64)


def run(path: pathlib.Path) -> None:
    """Reads the JSON files of a finished run and shows their numbers."""
    json.dumps(read_json(path / "config.json"))
    done = stored.read_results(path / "results.json")
    Screen(quiet=True).table(done)


def lines(path: pathlib.Path) -> None:
    """Reads utterances, a JSON object a line."""
    with path.open("rb") as file:
        for _ in turns.read(file, examples.DIMS, str(path)):
            pass


def model(path: pathlib.Path) -> None:
    """Reads a trained model."""
    Model.load(path)


def checkpoint(path: pathlib.Path) -> None:
    """Reads a checkpoint."""
    if checkpoints.restore(path) is None:
        raise InputError(path, "no checkpoint", "one")


def states(path: pathlib.Path) -> None:
    """Reads the states of conversations."""
    kept.read(path, *_template())


def extraction(path: pathlib.Path) -> None:
    """Reads the extraction that travels with a model."""
    Extraction.load(path)


@functools.cache
def _template() -> tuple[Any, str]:
    answerer = Answerer([examples.model()])
    return answerer.begin(), kept.identity(answerer.models)
