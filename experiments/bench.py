"""Benchmarks: `python -m experiments.bench [--case=epoch] [--peer]`, a JSON line a measurement.

Random features of IEMOCAP's sizes and conversation lengths; the networks and the batches (30
conversations) of `configs/mman.py`, without dropout, which the peer does not have either.
`useful_gflop_per_second` counts 6 x parameters for each real utterance (2 x where nothing is
learned); padding does not count.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmark.cases import CASES
from experiments.benchmark.peer_pytorch import MODES
from mman_jax.cli.terminal import command
from mman_jax.errors import InputError, nearest

_LENGTHS = flags.DEFINE_string(
    "lengths",
    str(pathlib.Path(__file__).with_name("benchmark") / "iemocap_lengths.json"),
    "JSON of lengths.",
)
_CASE = flags.DEFINE_string("case", "", "The one case to run; by default all.")
_PEER = flags.DEFINE_bool("peer", False, "Whether to time PyTorch beside it (extra: torch).")


def peer(ours: float) -> Iterator[dict[str, Any]]:
    """PyTorch's epoch in each of its modes, in a process of its own, and its time over ours."""
    for mode in MODES:
        arguments = [f"--mode={mode}", f"--lengths={_LENGTHS.value}"]
        ended = subprocess.run(
            [sys.executable, "-m", "experiments.benchmark.peer_pytorch", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise InputError("--peer", ended.stderr.strip().splitlines()[-1], "torch installed")
        found = json.loads(ended.stdout)
        yield found | {"case": "peer", "times_ours": found["seconds"] / ours}


def main() -> None:
    """Runs the cases."""
    if _CASE.value and _CASE.value not in CASES:
        raise InputError("--case", repr(_CASE.value), nearest(_CASE.value, CASES))
    if _CASE.value not in ("", "epoch"):
        found = f"given beside --case={_CASE.value}, which has no peer"
        command.refuse(_PEER, found, "--case=epoch, or no --peer")
    lengths = np.array(json.loads(pathlib.Path(_LENGTHS.value).read_text())["train"])
    for name, case in CASES.items():
        if _CASE.value not in ("", name):
            continue
        for found in case(lengths):
            print(json.dumps(found), flush=True)
        if name == "epoch" and _PEER.value:
            for other in peer(found["seconds"]):
                print(json.dumps(other), flush=True)


if __name__ == "__main__":
    command.run(sys.modules[__name__])
