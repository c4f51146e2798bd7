"""Searches that are interrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mman_jax.data.readers import npz
from tests import tiny
from tests.children import ROOT, environment

pytest.importorskip("optuna", reason="pip install 'mman_jax[sweep]'")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("sent", "status", "name"), [(signal.SIGTERM, 75, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")]
)
def test_interrupted_searches_print_how_to_resume(sent, status, name, tmp_path):
    npz.write(tiny.corpus().select_modalities(["speech"]), tmp_path / "corpus.npz")
    flags = ["--config=configs/tripathi.py", "--config.network.units=4"]
    flags += [f"--config.data.path={tmp_path}/corpus.npz", f"--output={tmp_path}/mine.py"]
    command = [sys.executable, "-u", "-m", "experiments.sweep", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweep = subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)
    assert sweep.stdout.readline().startswith("inside training")
    while not os.path.exists(tmp_path / "mine.sweep/trials.log"):
        assert sweep.poll() is None
        time.sleep(0.05)
    sweep.send_signal(sent)
    _, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == status, errors
    assert errors.count(f"stopped by {name}; the same command resumes from here") == 1
    assert "Traceback" not in errors
