"""Time of a sweep: the command itself, a few trials of it on a corpus of 6000 utterances."""

import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark.timing import line
from mman_jax.data.readers import npz
from mman_jax.data.synthetic import process

CONVERSATIONS = (231, 2, 2)  # to train on: 6000 utterances
TRIALS = 4
_TRIAL = re.compile(r"^(\w+), trial \d+/\d+: .*, (\d+) s; ")


def case_sweep(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Seconds of a sweep of few trials, and of a trial of each of its searches."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = process.generate(process.process(), CONVERSATIONS)
        npz.write(corpus, pathlib.Path(folder) / "corpus.npz")
        command = [
            *(sys.executable, "-m", "experiments.sweep", f"--trials={TRIALS}"),
            *(f"--config.data.path={folder}/corpus.npz", f"--output={folder}/found.py"),
            f"--compilation_cache={folder}/cache",
        ]
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - began
    trials = by_search(done.stdout)
    yield line(
        "sweep",
        seconds,
        utterances=len(corpus.labels),
        trials={name: len(of) for name, of in trials.items()},
        seconds_a_trial={name: float(np.mean(of)) for name, of in trials.items()},
    )


def by_search(text: str) -> dict[str, list[int]]:
    """Returns the seconds of each trial by its search, from what the command prints."""
    trials: dict[str, list[int]] = {}
    for match in filter(None, map(_TRIAL.match, text.splitlines())):
        trials.setdefault(match[1], []).append(int(match[2]))
    return trials
