"""Two processes with two devices each, on one machine, against one process with one device."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments import experiment
from experiments.screen import Screen
from mman_jax.data import npz
from mman_jax.inference.model import Model
from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = "from tests import tiny\n\n\ndef get_config():\n    return tiny.recipe(epochs=2)\n"
SECONDS = 120
SHARDS = {"seeds first": (2, 2), "rows across processes": (1, 4)}


def start(process, processes, port, arguments):
    flags = [
        "--xla_force_host_platform_device_count=2",
        "--xla_backend_optimization_level=0",
    ]
    return subprocess.Popen(
        [
            sys.executable, "-m", "experiments.run", *arguments,
            f"--compilation_cache={jax.config.jax_compilation_cache_dir}",
            f"--config.distributed=127.0.0.1:{port},{processes},{process}",
        ],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def run_processes(arguments, workdirs):
    """Runs as many processes as there are folders; what each printed. None outlives this."""
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


def check(found, expected):
    """Equal but for the time taken: counts exactly, fractions of counts to rounding."""
    for name in expected.keys() - {"seconds"}:
        leaves, structure = jax.tree.flatten(expected[name])
        assert jax.tree.structure(found[name]) == structure, name
        for left, right in zip(jax.tree.leaves(found[name]), leaves, strict=True):
            if isinstance(right, float):
                np.testing.assert_allclose(left, right, atol=1e-6, err_msg=name)
            else:
                assert left == right, name


def read(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("distributed")
    npz.write(tiny.corpus(), path / "corpus.npz")
    (path / "tiny_config.py").write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def arguments(folder):
    return [
        f"--config={folder}/tiny_config.py",
        f"--config.data.path={folder}/corpus.npz",
        "--config.seeds=2",
        "--config.checkpoint_seconds=0.0",
    ]


@pytest.fixture(scope="module")
def alone(folder):
    config = tiny.recipe(epochs=2)
    config.data.path = str(folder / "corpus.npz")
    config.seeds = 2
    with Screen() as screen:
        experiment.run(config, folder / "alone", screen)
    return folder / "alone"


@pytest.mark.parametrize("shards", SHARDS.values(), ids=SHARDS)
def test_two_processes_give_the_numbers_of_one(shards, alone, arguments, tmp_path):
    seeds, rows = shards
    mesh = [f"--config.mesh.seeds={seeds}", f"--config.mesh.rows={rows}"]
    # A folder for each: the second process writes nothing into its own.
    first, second = tmp_path / "first", tmp_path / "second"
    printed = run_processes([*arguments, *mesh], [first, second])

    check(read(first), read(alone))
    assert not second.exists()
    assert "test accuracy" in printed[0]
    assert "epoch" not in printed[1]
    params, expected = (Model.load(d / "model" / "auto").params for d in (first, alone))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), params, expected)
    if seeds == 1:
        return
    # Interrupted before its last epoch was saved: both go on from the one checkpoint.
    (first / "results.json").unlink()
    steps = sorted((first / "checkpoints" / "auto").iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(steps[-1])
    printed = run_processes([*arguments, *mesh], [first, first])
    assert "goes on after fusion epoch 2" in printed[0]
    check(read(first), read(alone))
