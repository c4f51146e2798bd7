"""Time and memory of reading a large public file as a corpus."""

import pathlib
import pickle
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

_EVERY = 0.01  # seconds between two looks at a process


def write(path: pathlib.Path, utterances: dict[str, int]) -> None:
    """Writes a pickle in MMSA's layout, unaligned, of so many utterances by part."""
    random, parts = np.random.default_rng(0), {}
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
        parts[part] = fields
    with path.open("wb") as file:
        pickle.dump(parts, file, protocol=4)


def case_read(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """The command `convert` on a file of MOSEI's size, in a process of its own.

    `memory_gib` is the most that the process held of its own, `imports_gib` what it so holds
    without input; `resident_gib` counts pages of files that are mapped, too, which the system
    takes back where others need the memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "mosei.pkl"
        # In a process of its own: one that is started by a large one counts as large.
        _run("experiments.benchmark.reading", str(path))
        imports, _ = _run("experiments.convert", "--help")
        began = time.perf_counter()
        own, resident = _run(
            "experiments.convert", f"--input={path}", f"--output={folder}/mosei.npz"
        )
        seconds = time.perf_counter() - began
        steps = max(steps * width for steps, width in SIZES.values())
        yield line("read", seconds, file_gib=path.stat().st_size / 2**30,
                   largest_array_gib=4 * steps * max(MOSEI.values()) / 2**30,
                   memory_gib=own, imports_gib=imports, resident_gib=resident)  # fmt: skip


def _run(module: str, *arguments: str) -> tuple[float, float]:
    """Runs a module to its end; the most memory that it held of its own, and in all, in GiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL
    )
    status, own, resident = pathlib.Path(f"/proc/{process.pid}/status"), 0, 0
    while process.poll() is None:
        said = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "RssAnon" in said:  # no longer where it has just ended
            own = max(own, int(said["RssAnon"].split()[0]))
            resident = max(resident, int(said["VmRSS"].split()[0]))
        time.sleep(_EVERY)
    if process.returncode:
        raise RuntimeError(f"{module} ended with status {process.returncode}")
    return own / 2**20, resident / 2**20


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]), MOSEI)
