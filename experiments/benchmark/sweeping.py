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
_SAID = re.compile(r"^(.+), trial \d+/\d+: .* ([\d.]+) s; ")
_RULE = re.compile(r"^(\w+).*: [\d.]+ % where nothing had a say, in ([\d.]+) s")


def case_sweep(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """A sweep of few trials, and what one of forty would take, extrapolated by its parts.

    Each search takes its first trial, which makes ready what all need, and so many times the mean
    of the others as there would be; a few first trials are never given up early, so that the sum
    is rather too high.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = process.generate(process.process(), CONVERSATIONS)
        npz.write(corpus, pathlib.Path(folder) / "corpus.npz")
        began = time.perf_counter()
        ended = subprocess.run(
            [
                *(sys.executable, "-u", "-m", "experiments.sweep", f"--trials={TRIALS}"),
                *(f"--config.data.path={folder}/corpus.npz", f"--output={folder}/found.py"),
                f"--compilation_cache={folder}/cache",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        whole = time.perf_counter() - began
    trials, rules = seconds(ended.stdout.splitlines())
    said, extrapolated = sum(map(sum, trials.values())) + sum(rules), sum(rules)
    for name, own in trials.items():
        others = OF if name == "towers" else OF // 2
        extrapolated += own[0] + (others - 1) * np.mean(own[1:])
    yield line(
        "sweep",
        whole,
        utterances=len(corpus.labels),
        trials={name: len(own) for name, own in trials.items()},
        seconds_first={name: own[0] for name, own in trials.items()},
        seconds_a_trial={name: float(np.mean(own[1:])) for name, own in trials.items()},
        seconds_a_rule=float(np.mean(rules)),
        extrapolated_trials=OF,
        extrapolated_minutes=float(extrapolated + whole - said) / 60,
    )


def seconds(printed: list[str]) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each trial by its search, and of each rule, from what a sweep printed."""
    trials: dict[str, list[float]] = {}
    for match in filter(None, map(_SAID.match, printed)):
        trials.setdefault(match[1], []).append(float(match[2]))
    return trials, [float(match[2]) for match in filter(None, map(_RULE.match, printed))]
