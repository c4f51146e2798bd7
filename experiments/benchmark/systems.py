"""Speed of each system in training and prediction, on random features of CMU-MOSI's sizes.

    python -m experiments.benchmark.systems --system=mult

measures one system in its own process, so that the peak memory is that of the system.
`experiments.bench --case=systems` measures all systems, and MulT in PyTorch if torch is installed.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.benchmark.measure import (
    child_measurement,
    conversations,
    measurement,
    median_seconds,
    parts,
)
from experiments.benchmark.peers import MOSI_CLASSES, MOSI_DIMS, MOSI_LENGTHS, system_fields
from mman_jax.errors import InputError
from mman_jax.systems import SYSTEMS, build
from mman_jax.training import mesh as parallel
from mman_jax.training.learner import Learner, make_learner
from mman_jax.trial.config import network, of


def case_systems(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures an epoch and the predictions of every system, each in a separate process."""
    for name, system in SYSTEMS.items():
        try:
            system.check_installed()
        except InputError:
            continue
        line = child_measurement("experiments.benchmark.systems", f"--system={name}")
        yield line
        if name == "mult" and importlib.util.find_spec("torch") is not None:
            peer = child_measurement("experiments.benchmark.peers", "--network=mult")
            yield peer | {
                "times_ours": peer["seconds"] / line["seconds"],
                "answering_times_ours": peer["answering_seconds"] / line["answering_seconds"],
            }


def measure(name: str) -> dict[str, Any]:
    """Returns the time of an epoch of each stage and of all predictions, and the peak memory."""
    rows = conversations(np.array(MOSI_LENGTHS), dims=MOSI_DIMS, classes=MOSI_CLASSES)
    config = of(name)
    system, by_part = build(network(config), list(MOSI_DIMS), MOSI_CLASSES), parts(rows)
    labels = {part: batch.labels for part, batch in by_part.items()}
    mesh = parallel.make_mesh(1)
    learner = make_learner(system, config.train, by_part, classes=MOSI_CLASSES, mesh=mesh)
    seconds, params = _epoch(learner, config.train, labels)
    predicting = median_seconds(lambda: system.predict_seeds(params, rows.inputs))
    parameters, count = learner.parameters or learner.trainable(params), int(rows.mask.sum())
    fields = system_fields(parameters, count, seconds, predicting)
    return measurement("systems", system=name, **fields)


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
        seconds[snapshot.stage].pop()  # the last snapshot only reports the end
    after_compiling = (times[1:] or times for times in seconds.values())
    return sum(float(np.median(times)) for times in after_compiling), snapshot.state.best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=SYSTEMS, required=True)
    print(json.dumps(measure(parser.parse_args().system)))
