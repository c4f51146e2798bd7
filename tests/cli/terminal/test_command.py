"""Commands as a user types them: what they print, and how they end."""

import os
import signal
import subprocess
import sys

import pytest

from tests.children import ROOT, mman


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort"])
def test_help(flag):
    ended = mman("run", flag)
    assert ended.returncode == 0
    assert "--workdir: Folder for results" in ended.stdout
    assert not ended.stderr


def test_help_lists_the_flags_of_the_command():
    text = mman("predict", "--help").stdout
    for flag in ("--checkpoint", "--input", "--output", "--[no]stream", "--state"):
        assert f"  {flag}:" in text


def test_runs_print_the_changes_of_their_config(tmp_path):
    flags = ["--config.seeds=2", "--config.data.path=nowhere.npz", "--config.train.batch=30"]
    ended = mman("run", f"--workdir={tmp_path}", *flags)
    assert ended.returncode == 2
    assert ended.stdout.startswith("config: mman with data.path=nowhere.npz seeds=2; ")
    assert ended.stdout.endswith(f"{tmp_path / 'config.json'}\n")


def test_a_closed_pipe_ends_the_command_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "experiments.run", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")
