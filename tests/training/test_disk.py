"""Checkpoints on a disk that is full: one error, the whole ones stay, nothing is printed."""

import asyncio
import gc
import logging
import subprocess
import sys
import threading

import numpy as np
import orbax.checkpoint as ocp
import pytest

from mman_jax.errors import InputError
from mman_jax.training import checkpoints, disk


def test_a_refusal_is_found_wherever_it_is():
    full = OSError(28, "No space left on device")
    wrapped = RuntimeError("from a thread")
    wrapped.__cause__ = full
    several = ExceptionGroup("two", [ValueError("x"), wrapped])
    stored = ValueError('RESOURCE_EXHAUSTED: writing "a/0": [OS error 28: No space left on device]')
    for error in (full, wrapped, several, stored):
        assert "No space left on device" in disk.reason(error)
    circle = ValueError("x")
    circle.__cause__ = RuntimeError("y")
    circle.__cause__.__cause__ = circle
    for error in (ValueError("x"), circle, KeyError(28)):
        assert not disk.reason(error)


def test_a_bug_stays_one(tmp_path, monkeypatch):
    def fail(_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(checkpoints.integrity, "sign", fail)
    with pytest.raises(ZeroDivisionError):
        checkpoints.save(tmp_path, {"a": np.zeros(2)}, {})


def test_what_was_silent_speaks_again():
    level, hook = logging.getLogger("absl").level, threading.excepthook
    with disk.silence():
        assert not logging.getLogger("absl").isEnabledFor(logging.CRITICAL)
    assert (logging.getLogger("absl").level, threading.excepthook) == (level, hook)


def test_a_task_that_the_disk_failed_is_not_told_when_it_is_collected(caplog):
    async def fails(error):
        raise error

    async def lost(error):
        asyncio.ensure_future(fails(error))  # noqa: RUF006
        await asyncio.sleep(0)

    full = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"), disk.silence():
        raise full
    try:
        for error, told in ((full, 0), (ZeroDivisionError("a bug"), 1)):
            asyncio.run(lost(error))
            gc.collect()
            assert len(caplog.records) == told
    finally:
        with disk.silence():  # as before
            pass


FILLED = """
import os, pathlib, sys
import numpy as np
import orbax.checkpoint as ocp
from mman_jax.errors import InputError
from mman_jax.training import checkpoints

folder, free = pathlib.Path(sys.argv[1]), int(sys.argv[2])
arrays = {name: np.random.default_rng(0).normal(size=20_000) for name in "abc"}
checkpoints.save(folder / "c", arrays, {"number": 1})
space = os.statvfs(folder)
(folder / "filler").write_bytes(bytes(space.f_bavail * space.f_frsize - free))
for _ in range(2):
    try:
        checkpoints.save(folder / "c", arrays, {"number": 2})
        print("saved")
    except InputError as error:
        print(error)
    assert sorted(path.name for path in (folder / "c").iterdir()) == ["0"]
(folder / "filler").unlink()
assert checkpoints.restore(folder / "c")[1] == {"number": 1}
checkpoints.save(folder / "c", arrays, {"number": 3})
assert checkpoints.restore(folder / "c")[1] == {"number": 3}
"""


@pytest.fixture
def small_disk(tmp_path):
    mounted = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    try:
        subprocess.run(mounted, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NO FULL DISK WAS TRIED: this user cannot mount one ({error})")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("free", [0, 4096, 20_000, 150_000, 400_000])
def test_a_disk_that_fills_is_one_error_and_the_last_checkpoint_stays(small_disk, free):
    command = [sys.executable, "-c", FILLED, str(small_disk), str(free)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert len(said) == 2
    assert all("cannot be written" in line and "No space left" in line for line in said)
    assert not ended.stderr


def test_an_error_of_tensorstore_is_one_of_the_disk(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, {"a": np.ones(2)}, {"number": 1})

    def fail(self, step, **_):
        (tmp_path / f"{step}.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: [OS error 28: ENOSPC No space left on device]")

    monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        checkpoints.save(tmp_path, {"a": np.zeros(2)}, {"number": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert checkpoints.restore(tmp_path)[1] == {"number": 1}
