"""How fast, and in how much memory, a large public file becomes a corpus."""

import pathlib
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark.timing import line

MOSEI = {"train": 16326, "valid": 1871, "test": 4659}
"""Utterances of CMU-MOSEI's parts."""

SIZES = {"text": (50, 300), "audio": (200, 74), "vision": (200, 35)}
"""Steps and features of each array: 3.4 GB at MOSEI's size."""


def write(path: pathlib.Path, utterances: dict[str, int]) -> int:
    """Writes a pickle in MMSA's layout, unaligned; the bytes of its largest array."""
    random = np.random.default_rng(0)
    parts, largest = {}, 0
    for part, count in utterances.items():
        fields: dict[str, Any] = {
            "id": np.array([f"{part}{i // 8}$_${i % 8}" for i in range(count)]),
            "regression_labels": random.uniform(-3, 3, count).round(2),
        }
        for key, (steps, width) in SIZES.items():
            row = random.standard_normal((steps, width), np.float32)
            # Not in memory before it is written: every utterance is the same one here.
            fields[key] = np.broadcast_to(row, (count, steps, width))
            fields[f"{key}_lengths"] = random.integers(1, steps, count).tolist()
            largest = max(largest, count * row.nbytes)
        parts[part] = fields
    with path.open("wb") as file:
        pickle.dump(parts, file, protocol=4)
    return largest


def case_read(_: np.ndarray, utterances: dict[str, int] | None = None) -> Iterator[dict[str, Any]]:
    """The command `convert` on a file of MOSEI's size, in a process of its own.

    `peak_memory_gib` is the most that the process held; `imports_gib` what it holds without input.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "mosei.pkl"
        largest = write(path, utterances or MOSEI)
        convert = [sys.executable, "-m", "experiments.convert"]
        _run([*convert, "--help"])
        imports = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        began = time.perf_counter()
        _run([*convert, f"--input={path}", f"--output={folder}/mosei.npz"])
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        yield line("read", seconds, file_gib=path.stat().st_size / 2**30,
                   largest_array_gib=largest / 2**30, peak_memory_gib=peak,
                   imports_gib=imports)  # fmt: skip


def _run(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
