import os
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
        (["--config.data.test=another.npz"], "config.data.test: 'another.npz', but a sweep only"),
        (["--config.system=rozgic"], "sweep: Rozgic, which is no network"),
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


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (signal.SIGTERM, 75, "stopped by SIGTERM; the same command resumes from here"),
        (signal.SIGINT, 130, "stopped by Ctrl-C; the same command resumes from here"),
    ],
)
def test_a_search_that_is_asked_to_end_says_how_to_resume(sent, status, said, tmp_path):
    npz.write(tiny.corpus().select_modalities(["speech"]), tmp_path / "corpus.npz")
    flags = ["--config=configs/tripathi.py", "--config.network.units=4"]
    flags += [f"--config.data.path={tmp_path}/corpus.npz", f"--output={tmp_path}/mine.py"]
    command = [sys.executable, "-u", "-m", "experiments.sweep", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweep = subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)
    assert sweep.stdout.readline().startswith("inside training")
    while not os.path.exists(tmp_path / "mine.sweep/trials.log"):
        assert sweep.poll() is None
        time.sleep(0.05)  # to look all the time would slow what is waited for
    sweep.send_signal(sent)
    _, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == status, errors
    assert errors.count(said) == 1
    assert "Traceback" not in errors
