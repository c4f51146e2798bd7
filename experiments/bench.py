"""Benchmarks: `python -m experiments.bench [--case=epoch] [--peer]`.

Each measurement is printed as a JSON line. Features are random, with IEMOCAP's sizes and
conversation lengths; networks and batches (30 conversations) are those of `configs/mman.py`,
without dropout, as in the PyTorch peer. `useful_gflop_per_second` counts 6 operations per parameter
and real utterance (2 in prediction); padding does not count.
"""

import functools
import importlib.util
import json
import pathlib
import sys

import numpy as np
from absl import flags

from experiments.benchmark.cases import CASES
from experiments.benchmark.measure import child_measurement
from experiments.benchmark.peers import LENGTHS, MODES
from mman_jax.cli.terminal import command
from mman_jax.errors import InputError, nearest

_LENGTHS = flags.DEFINE_string("lengths", str(LENGTHS), "JSON file of conversation lengths.")
_CASE = flags.DEFINE_string("case", "", "The case to measure; by default all except tpu.")
_ALL = flags.DEFINE_bool("all", False, "Whether --case=tpu compiles every system.")
_PEER = flags.DEFINE_bool("peer", False, "Whether to also time PyTorch (extra: torch).")


def main() -> None:
    """Measures the cases."""
    if _CASE.value and _CASE.value not in CASES:
        raise InputError("--case", repr(_CASE.value), nearest(_CASE.value, CASES))
    if _CASE.value not in ("", "epoch"):
        problem = f"given with --case={_CASE.value}, which has no peer"
        command.refuse(_PEER, problem, "--case=epoch, or no --peer")
    if _CASE.value != "tpu":
        command.refuse(_ALL, "given without --case=tpu", "--case=tpu, or no --all")
    if _PEER.value and importlib.util.find_spec("torch") is None:
        raise InputError("--peer", "PyTorch is not installed", "pip install 'mman_jax[torch]'")
    lengths = np.array(json.loads(pathlib.Path(_LENGTHS.value).read_text())["train"])
    for name, case in CASES.items():
        if name != _CASE.value and (_CASE.value or name == "tpu"):
            continue
        case = functools.partial(case, every=True) if _ALL.value else case
        for line in case(lengths):
            print(json.dumps(line), flush=True)
        if name == "epoch" and _PEER.value:
            for mode in MODES:
                arguments = [f"--mode={mode}", f"--lengths={_LENGTHS.value}"]
                peer = child_measurement("experiments.benchmark.peers", *arguments)
                times = peer["seconds"] / line["seconds"]
                print(json.dumps(peer | {"case": "peer", "times_ours": times}), flush=True)


if __name__ == "__main__":
    command.run(sys.modules[__name__])
