"""Start-up times of the commands, and the parts that they consist of."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.benchmark.timing import line
from mman_jax.data.synthetic import process

_SHOWN = 0.1  # seconds: of smaller programs the sum is told


def case_start(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """`run` to the end of its first epoch, then `predict` on one utterance of that run, each with
    an empty cache of compiled programs and with a filled one; whole, then by parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = process.generate(process.process(), (1, 1, 1))
        one = {f"features/{name}": x[:1] for name, x in corpus.features.items()}
        about = {"labels": corpus.labels[:1], "label_names": np.array(corpus.label_names)}
        ids = {"conversation_ids": np.array(["one"]), "utterance_ids": np.array(["first"])}
        np.savez(folder / "one.npz", lengths=np.array([1]), **about, **ids, **one)
        for cache in ("empty", "filled"):
            kept = f"--compilation_cache={folder}/cache"
            workdir = f"{folder}/{cache}"
            train = ["--config=configs/mman.py", "--config.train.max_epochs=1"]
            predict = [f"--checkpoint={workdir}", f"--input={folder}/one.npz"]
            predict += [f"--output={folder}/answers.csv"]
            yield from _measure(cache, folder, "run", [*train, f"--workdir={workdir}", kept])
            yield from _measure(cache, folder, "predict", [*predict, kept])


def lines(told: dict[str, Any], **about: Any) -> Iterator[dict[str, Any]]:
    """The lines of what `watched` noted of a command.

    Args:
        told: by `watched`.
        about: what else each line says.
    """
    for part in told["parts"]:
        yield line("start", **about, **part)
    small = []
    for program in told["programs"]:
        seconds = sum(program.get(stage, 0.0) for stage in ("trace", "lower", "compile"))
        if seconds < _SHOWN:
            small.append(seconds)
            continue
        yield line("start", seconds, **about, part="program", **program)
    yield line("start", sum(small), **about, part="smaller programs", programs=len(small))


def _measure(
    cache: str, folder: pathlib.Path, command: str, arguments: Sequence[str]
) -> Iterator[dict[str, Any]]:
    told, watched = folder / "told.json", "experiments.benchmark.watched"
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", watched, told, command, *arguments],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - began
    yield line("start", seconds, command=command, cache=cache, part="process")
    yield from lines(json.loads(told.read_text()), command=command, cache=cache)
