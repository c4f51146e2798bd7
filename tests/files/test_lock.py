"""One process at a time on a folder."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from mman_jax.errors import InputError
from mman_jax.files.lock import alone
from tests.children import ROOT, run

HOLD = "import sys; from mman_jax.files.lock import alone\n"
HOLD += "with alone(sys.argv[1]): print(1, flush=True); sys.stdin.read()"


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    return process


@pytest.mark.parametrize("inside", [True, False])
def test_the_second_is_told_and_the_first_goes_on(tmp_path, inside):
    folder = tmp_path / "a" / "b"
    with alone(folder, inside):
        for _ in range(2):
            with pytest.raises(InputError, match=f"{folder}: another process is working on it"):
                alone(folder, inside).__enter__()
        with alone(tmp_path / "a" / "c", inside), alone(folder, inside, first=False):
            pass
    with alone(folder, inside):
        pass
    assert not list(tmp_path.iterdir())  # what was made for the lock alone is gone


def test_the_root_of_all_folders_is_no_place_for_a_lock():
    with pytest.raises(InputError, match="/: the root of the file system"):
        alone("/", inside=False).__enter__()


def test_a_patient_one_waits(tmp_path):
    first = alone(tmp_path / "a")
    first.__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with alone(tmp_path / "a", patience=20.0), pytest.raises(InputError, match="another process"):
        alone(tmp_path / "a", patience=0.1).__enter__()


def test_what_was_written_stays_and_the_lock_is_gone(tmp_path):
    folder = tmp_path / "a"
    with alone(folder):
        (folder / "results").write_text("")
    assert [path.name for path in folder.iterdir()] == ["results"]
    with alone(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["results"]


def test_a_lock_dies_with_its_process(tmp_path):
    process = holder(tmp_path)
    with pytest.raises(InputError, match="another process"):
        alone(tmp_path).__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    opened, real = [], os.open

    def late(path, *rest):
        file = real(path, *rest)
        if not opened:
            os.unlink(path)  # the last owner left between the opening and the locking
        opened.append(file)
        return file

    monkeypatch.setattr(os, "open", late)
    with alone(tmp_path):
        assert len(opened) == 2
        with pytest.raises(InputError, match="another process"):
            alone(tmp_path).__enter__()


def test_where_there_can_be_no_lock_the_work_tells_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), alone(tmp_path / "file"):
        (tmp_path / "file" / "results.json").write_text("")


def test_a_second_run_on_a_folder_leaves_with_one_line(tmp_path):
    process = holder(tmp_path)
    try:
        for command in ("run", "paper"):
            ended = run(f"experiments.{command}", f"--workdir={tmp_path}")
            assert ended.returncode == 2
            said = rf"error: {re.escape(str(tmp_path))}: another process is working on it.*\n"
            assert re.fullmatch(said, ended.stderr)
    finally:
        process.communicate(b"")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
