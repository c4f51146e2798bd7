"""Two processes with two devices each, on one machine, against one process with one device."""

import json
import pathlib
import shutil
import socket
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.training import checkpoints
from mman_jax.trial import runner
from tests import children
from tests.training import distributed_config

pytestmark = pytest.mark.e2e

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 120


def start(process, processes, port, arguments):
    return subprocess.Popen(
        [
            sys.executable, "-m", "experiments.run", *arguments,
            f"--compilation_cache={jax.config.jax_compilation_cache_dir}",
            f"--config.distributed=127.0.0.1:{port},{processes},{process}",
        ],
        cwd=ROOT,
        env=children.environment(devices=2),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def in_processes(system, corpus, mesh, workdirs):
    """Runs a process per folder, and returns their outputs; all have ended afterwards."""
    arguments = [
        f"--config=tests/training/distributed_config.py:{system}",
        f"--config.data.path={corpus}",
        *(f"--config.mesh.{axis}={shards}" for axis, shards in mesh.items()),
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [
        start(i, len(workdirs), port, [*arguments, f"--workdir={workdir}"])
        for i, workdir in enumerate(workdirs)
    ]
    try:
        printed = [process.communicate(timeout=SECONDS)[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(printed)
    return printed


class Interrupted(Screen):
    """Keeps the checkpoints as they would be, had the run ended within the fusion."""

    def __init__(self, workdir, kept):
        super().__init__(quiet=True)
        self.workdir, self.kept = workdir, kept

    def epoch(self, task, snapshot, epochs, score):
        if snapshot.stage == "fusion" and len(snapshot.history.training) == 20:
            shutil.copytree(self.workdir / "checkpoints", self.kept / "checkpoints")


def in_one(system, corpus, workdir, kept=None):
    config = distributed_config.get_config(system)
    config.data.path = str(corpus)
    runner.run(config, workdir, Interrupted(workdir, kept), analyse=True)


def check(workdir, expected):
    """Asserts equality except for times: of counts exactly, of losses and parameters up to
    rounding.
    """
    last, wanted = (checkpoints.restore(d / "checkpoints" / "auto") for d in (workdir, expected))
    chex.assert_trees_all_close(last[0], wanted[0], atol=1e-4)
    found, expected = (json.loads((d / "results.json").read_text()) for d in (workdir, expected))
    assert found.keys() == expected.keys()
    for results in (found, expected):
        for name in ("config", "digest"):  # the settings of processes and mesh differ
            del results["seal"][name]
    for name in expected.keys() - {"seconds", "devices"}:
        leaves, structure = jax.tree.flatten(expected[name])
        assert jax.tree.structure(found[name]) == structure, name
        for left, right in zip(jax.tree.leaves(found[name]), leaves, strict=True):
            if isinstance(right, float):
                np.testing.assert_allclose(left, right, atol=1e-6, err_msg=name)
            else:
                assert left == right, name


def test_two_processes_give_the_numbers_of_one(corpus_file, tmp_path):
    alone, first, second, kept = (tmp_path / n for n in ("alone", "first", "second", "kept"))
    in_one("fusion", corpus_file, alone, kept)
    mesh = {"seeds": 2, "rows": 2}
    # A folder for each: the second process writes nothing into its own.
    printed = in_processes("fusion", corpus_file, mesh, [first, second])
    check(first, alone)
    assert (first / "model" / "auto").is_dir()
    assert not second.exists()
    assert "test accuracy" in printed[0]
    assert "epoch" not in printed[1]
    assert "test accuracy" not in printed[1]

    # Both read the one checkpoint of a run that was interrupted, and go on from there.
    printed = in_processes("fusion", corpus_file, mesh, [kept, kept])
    assert "resumes after fusion epoch 10" in printed[0]
    check(kept, alone)


def test_rows_spread_over_processes(corpus_file, tmp_path):
    in_one("tower", corpus_file, tmp_path / "alone")
    in_processes("tower", corpus_file, {"seeds": 1, "rows": 4}, [tmp_path / "run"] * 2)
    check(tmp_path / "run", tmp_path / "alone")
