import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from mman_jax.data.readers import npz
from tests import tiny
from tests.children import ROOT, environment
from tests.cli.terminal.test_command import run

pytest.importorskip("optuna", reason="pip install 'mman_jax[sweep]'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--fields=dropout,learning_rat"],
            "--fields: unknown 'learning_rat'; expected 'learning_rate'",
        ),
        (
            ["--config=configs/bc_lstm.py"],
            "--config: the system bc_lstm; expected the recipe of MMAN",
        ),
        (["--config.data.test=another.npz"], "config.data.test: 'another.npz': a sweep reads a"),
        (["--config.system=mult"], "--config: the system mult; expected the recipe of MMAN"),
        (["--sweep_folds=sessions"], "--sweep_folds: sessions, which synthetic does not name"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, said, tmp_path):
    ended = run("experiments.sweep", f"--output={tmp_path / 'mine.py'}", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"error: {said}")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_group_of_processes_that_is_asked_to_end_says_so(tmp_path):
    npz.write(tiny.corpus().select_modalities(["speech"]), tmp_path / "corpus.npz")
    flags = [f"--config.data.path={tmp_path}/corpus.npz", f"--output={tmp_path}/mine.py"]
    command = [sys.executable, "-u", "-m", "experiments.sweep", *flags, "--processes=2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweep = subprocess.Popen(command, cwd=ROOT, env=environment(), start_new_session=True, **pipes)
    while len(children(sweep.pid)) < 2:
        assert sweep.poll() is None
        time.sleep(0.01)
    os.killpg(sweep.pid, signal.SIGTERM)
    _, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 75, errors
    assert errors.count("stopped by SIGTERM; the same command resumes from here") == 1
    assert "Traceback" not in errors


def children(pid):
    """The numbers of a process's own processes that work (Linux)."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            command = status.with_name("cmdline").read_text()
        except OSError:  # it has gone meanwhile
            continue
        if re.search(rf"^PPid:\t{pid}$", text, re.MULTILINE) and "spawn_main" in command:
            found.append(int(status.parent.name))
    return found
