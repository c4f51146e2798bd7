"""Locks of folders, which one process holds at a time."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mman_jax.files.lock import alone
from tests.children import ROOT, run
from tests.data.small import refuses

HOLD = "import sys; from mman_jax.files.lock import alone\n"
HOLD += "with alone(sys.argv[1]): print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the temporary folder."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, **pipes)
    process.stdout.readline()
    yield process
    process.communicate()


def refused(folder, *how, **more):
    refuses(lambda: alone(folder, *how, **more).__enter__(), f"{folder}: another process")


@pytest.mark.parametrize("inside", [True, False])
def test_the_second_is_refused_and_the_first_continues(tmp_path, inside):
    folder = tmp_path / "a" / "b"
    with alone(folder, inside):
        refused(folder, inside)
        refused(folder, inside)
        with alone(tmp_path / "a" / "c", inside), alone(folder, inside, first=False):
            pass
    with alone(folder, inside):
        pass
    assert not list(tmp_path.iterdir())  # folders made for the lock alone are removed


def test_the_root_of_the_file_system_cannot_be_locked():
    refuses(lambda: alone("/", inside=False).__enter__(), "/: the root")


def test_waiting_for_a_lock(tmp_path):
    first = alone(tmp_path / "a")
    first.__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with alone(tmp_path / "a", patience=20.0):
        refused(tmp_path / "a", patience=0.1)


def test_a_lock_leaves_only_what_was_written(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "a"):
            (tmp_path / "a" / "results").write_text("")
        assert os.listdir(tmp_path / "a") == ["results"]


def test_a_lock_ends_with_its_process(tmp_path, holder):
    refused(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_was_removed_meanwhile_is_made_again(tmp_path, monkeypatch):
    opened, real = [], os.open

    def late(path, *rest):
        file = real(path, *rest)
        if not opened:
            os.unlink(path)  # the last holder left between opening and locking
        opened.append(file)
        return file

    monkeypatch.setattr(os, "open", late)
    with alone(tmp_path):
        assert len(opened) == 2
        refused(tmp_path)


def test_without_a_lock_the_work_itself_fails(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), alone(tmp_path / "file"):
        (tmp_path / "file" / "results.json").write_text("")


def test_a_second_command_on_a_folder_is_refused_in_one_line(tmp_path, holder):
    for command in ("run", "paper"):
        ended = run(f"experiments.{command}", f"--workdir={tmp_path}")
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"error: {tmp_path}: another process")
        assert ended.stderr.count("\n") == 1
    holder.communicate(b"")
    assert not list(tmp_path.iterdir())
