"""Speed of each system in training and in answering, on random features of CMU-MOSI's sizes.

    python -m experiments.benchmark.systems --system=mult [--utterances=9,23]

times one, in a process of its own, whose memory then is that system's; `experiments.bench
--case=systems` times all, and MulT in PyTorch beside ours where torch is installed.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmark.peer_mult import CLASSES, DIMS, LENGTHS
from experiments.benchmark.rows import conversations, parts
from experiments.benchmark.timing import line, median
from mman_jax.errors import InputError
from mman_jax.systems import SYSTEMS, build
from mman_jax.training import mesh as parallel
from mman_jax.training.learner import Learner, make_learner
from mman_jax.trial.config import network, of


def case_systems(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """An epoch and the answers of every system, each in a process of its own."""
    for name, kind in SYSTEMS.items():
        try:
            kind.check_installed()
        except InputError:
            continue
        found = _in_a_process("experiments.benchmark.systems", f"--system={name}")
        yield found
        if name == "mult" and importlib.util.find_spec("torch") is not None:
            other = _in_a_process("experiments.benchmark.peer_mult")
            yield other | {
                "times_ours": other["seconds"] / found["seconds"],
                "answering_times_ours": other["answering_seconds"] / found["answering_seconds"],
            }


def measure(name: str, lengths: Sequence[int]) -> dict[str, Any]:
    """Seconds of an epoch (of each of its stages one) and of all answers, and the memory.

    Args:
        name: of a system.
        lengths: utterances of each conversation.
    """
    rows = conversations(np.array(lengths), dims=DIMS, classes=CLASSES)
    config = of(name)
    system, held = build(network(config), list(DIMS), CLASSES), parts(rows)
    labels = {part: batch.labels for part, batch in held.items()}
    learner = make_learner(system, config.train, held, CLASSES, parallel.make_mesh(1))
    seconds, params = _epoch(learner, config.train, labels)
    answers = median(lambda: jax.block_until_ready(system.predict_seeds(params, rows.inputs)))
    parameters = learner.parameters or learner.trainable(params)
    utterances = int(rows.mask.sum())
    return line(
        "systems",
        seconds,
        system=name,
        parameters=parameters,
        utterances=utterances,
        utterances_per_second=utterances / seconds,
        answering_seconds=answers,
        answers_per_second=utterances / answers,
        peak_memory_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )


def _epoch(learner: Learner, settings: Any, labels: dict[str, np.ndarray]) -> tuple[float, Any]:
    """Returns the seconds of one epoch of every stage, and the parameters [1, ...]."""
    if learner.resumes:
        first, *others = learner.stages
        settings[first].epochs = 3
        for stage in others:
            settings[stage].epochs = 11  # a prime: otherwise one call may run several epochs
    seconds: dict[str, list[float]] = {}
    clock = time.perf_counter()
    for snapshot in learner.run(labels, [0]):
        jax.block_until_ready(snapshot.state)
        now = time.perf_counter()
        seconds.setdefault(snapshot.stage, []).append(now - clock)
        clock = now
    if learner.resumes:
        seconds[snapshot.stage].pop()  # the last snapshot only says that all is finished
    warm = (several[1:] or several for several in seconds.values())  # the first compiles
    return sum(float(np.median(several)) for several in warm), snapshot.state.best


def _in_a_process(module: str, *arguments: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(ended.stdout)


def main() -> None:
    """Prints one system's line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=SYSTEMS, required=True)
    parser.add_argument("--utterances", default=",".join(map(str, LENGTHS)))
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.system, [*map(int, arguments.utterances.split(","))])))


if __name__ == "__main__":
    main()
