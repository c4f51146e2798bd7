"""How long a sweep takes: the command itself, a few trials of it on a corpus of 6000 utterances."""

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
TRIALS, OF = 4, 40
_TRIAL = re.compile(r"^(.+), trial \d+/\d+: ")
_RULE = re.compile(r"^\w+.*: [\d.]+ % where nothing had a say, in ")


def case_sweep(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """A sweep of few trials, and what one of forty would take, extrapolated by its parts.

    Of each search, so many times the mean of its trials as there would be; few first trials are
    never given up early, and have fewer others beside them, so that the sum is rather too high.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = process.generate(process.process(), CONVERSATIONS)
        npz.write(corpus, pathlib.Path(folder) / "corpus.npz")
        command = [
            *(sys.executable, "-u", "-m", "experiments.sweep", f"--trials={TRIALS}"),
            *(f"--config.data.path={folder}/corpus.npz", f"--output={folder}/found.py"),
            f"--compilation_cache={folder}/cache",
        ]
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
            said = [(time.perf_counter() - began, text) for text in sweep.stdout]
        whole = time.perf_counter() - began
        if sweep.returncode:
            raise subprocess.CalledProcessError(sweep.returncode, command)
    trials, rules = seconds(said)
    known, extrapolated = sum(map(sum, trials.values())) + sum(rules), sum(rules)
    for name, own in trials.items():
        extrapolated += (OF if name == "towers" else OF // 2) * np.mean(own)
    yield line(
        "sweep",
        whole,
        utterances=len(corpus.labels),
        trials={name: len(own) for name, own in trials.items()},
        seconds_a_trial={name: float(np.mean(own)) for name, own in trials.items()},
        seconds_a_rule=float(np.mean(rules)),
        extrapolated_trials=OF,
        extrapolated_minutes=float(extrapolated + whole - known) / 60,
    )


def seconds(said: list[tuple[float, str]]) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each trial by its search, and of each rule, by when a sweep said what.

    What runs side by side ends soon after one another: the sum is what they took together.
    """
    trials: dict[str, list[float]] = {}
    rules: list[float] = []
    before = 0.0
    for at, text in said:
        if match := _TRIAL.match(text):
            trials.setdefault(match[1], []).append(at - before)
        elif _RULE.match(text):
            rules.append(at - before)
        before = at
    return trials, rules
