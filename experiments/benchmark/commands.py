"""Time and memory of commands: their start, the conversion of a large file, a sweep.

python -m experiments.benchmark.commands FILE.pkl  # writes the large file
"""

import json
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark.measure import measurement
from mman_jax.data.readers import npz
from mman_jax.data.synthetic import process

MOSEI = {"train": 16326, "valid": 1871, "test": 4659}
"""Number of utterances of each part of CMU-MOSEI."""

SIZES = {"text": (50, 300), "audio": (200, 74), "vision": (200, 35)}
"""Steps and features of each array: 3.4 GB at MOSEI's size."""

_SMALL = 0.1  # seconds; programs that take less are summed
_TRIAL = re.compile(r"^(\w+), trial \d+/\d+: .*, (\d+) s; ")


def case_start(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the start of `run` (one epoch) and of `predict` (one utterance), by parts.

    Each runs with an empty and then with a filled cache of compiled programs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = process.generate(process.process(), (1, 1, 1))
        arrays = {f"features/{name}": x[:1] for name, x in corpus.features.items()}
        arrays |= {"labels": corpus.labels[:1], "label_names": np.array(corpus.label_names)}
        np.savez(folder / "one.npz", **arrays)
        for cache in ("empty", "filled"):
            run = ["--config.train.max_epochs=1", f"--workdir={folder}/{cache}"]
            predict = [f"--checkpoint={folder}/{cache}", f"--input={folder}/one.npz"]
            predict.append(f"--output={folder}/answers.csv")
            for command, flags in {"run": run, "predict": predict}.items():
                file = folder / "watched.json"
                watched = [sys.executable, "-m", "experiments.benchmark.watched", file, command]
                flags.append(f"--compilation_cache={folder}/cache")
                start = time.perf_counter()
                subprocess.run([*watched, *flags], stdout=subprocess.DEVNULL, check=True)
                seconds = time.perf_counter() - start
                fields = {"command": command, "cache": cache}
                yield measurement("start", seconds, **fields, part="process")
                yield from measurements(json.loads(file.read_text()), **fields)


def measurements(watched: dict[str, Any], **fields: Any) -> Iterator[dict[str, Any]]:
    """Yields a line for each part and each large program of a watched command."""
    for part in watched["parts"]:
        yield measurement("start", **fields, **part)
    small = []
    for program in watched["programs"]:
        seconds = sum(program.get(stage, 0.0) for stage in ("trace", "lower", "compile"))
        if seconds < _SMALL:
            small.append(seconds)
        else:
            yield measurement("start", seconds, **fields, part="program", **program)
    yield measurement("start", sum(small), **fields, part="smaller programs", programs=len(small))


def case_read(_lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures `convert` on a file of MOSEI's size.

    `memory_gib` is the peak of the process's private memory, and `imports_gib` that of a process
    without input; `resident_gib` includes pages of mapped files, which the system can reclaim.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "mosei.pkl"
        # A child process starts with the size of its parent, so another process writes the file.
        _peak_memory("experiments.benchmark.commands", str(path))
        imports, _ = _peak_memory("experiments.convert", "--help")
        start, flags = time.perf_counter(), (f"--input={path}", f"--output={folder}/mosei.npz")
        private, resident = _peak_memory("experiments.convert", *flags)
        seconds = time.perf_counter() - start
        fields = {"memory_gib": private, "imports_gib": imports, "resident_gib": resident}
        yield measurement("read", seconds, file_gib=path.stat().st_size / 2**30, **fields)


def write_pickle(path: str, utterances: dict[str, int] | None = None) -> None:
    """Writes an unaligned pickle in MMSA's layout, with `utterances` by part (default: MOSEI's)."""
    random, parts = np.random.default_rng(0), {}
    for part, count in (utterances or MOSEI).items():
        fields: dict[str, Any] = {
            "id": np.array([f"{part}{i // 8}$_${i % 8}" for i in range(count)]),
            "regression_labels": random.uniform(-3, 3, count).round(2),
        }
        for key, (steps, width) in SIZES.items():
            row = random.standard_normal((steps, width), np.float32)
            fields[key] = np.broadcast_to(row, (count, steps, width))  # takes no memory
            fields[f"{key}_lengths"] = random.integers(1, steps, count).tolist()
        parts[part] = fields
    with pathlib.Path(path).open("wb") as file:
        pickle.dump(parts, file, protocol=4)


def _peak_memory(module: str, *arguments: str) -> tuple[float, float]:
    """Runs a module and returns the peaks of its private and its resident memory, in GiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL
    )
    status, private, resident = pathlib.Path(f"/proc/{process.pid}/status"), 0, 0
    while process.poll() is None:
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "RssAnon" in fields:  # absent if the process has just ended
            private = max(private, int(fields["RssAnon"].split()[0]))
            resident = max(resident, int(fields["VmRSS"].split()[0]))
        time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"{module} ended with status {process.returncode}")
    return private / 2**20, resident / 2**20


def case_sweep(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures a sweep of four trials per search on 6000 utterances, and each trial of it."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = process.generate(process.process(), (231, 2, 2))
        npz.write(corpus, pathlib.Path(folder) / "corpus.npz")
        flags = ["--trials=4", f"--config.data.path={folder}/corpus.npz"]
        flags += [f"--output={folder}/best.py", f"--compilation_cache={folder}/cache"]
        start = time.perf_counter()
        command = [sys.executable, "-m", "experiments.sweep", *flags]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
    trials = trial_seconds(ended.stdout)
    counts = {search: len(times) for search, times in trials.items()}
    means = {search: float(np.mean(times)) for search, times in trials.items()}
    fields = {"trials": counts, "seconds_a_trial": means}
    yield measurement("sweep", seconds, utterances=len(corpus.labels), **fields)


def trial_seconds(output: str) -> dict[str, list[int]]:
    """Returns the seconds of each trial of each search, from the output of a sweep."""
    trials: dict[str, list[int]] = {}
    for match in filter(None, map(_TRIAL.match, output.splitlines())):
        trials.setdefault(match[1], []).append(int(match[2]))
    return trials


if __name__ == "__main__":
    write_pickle(sys.argv[1])
