import asyncio
import dataclasses
import gc
import json
import logging
import os
import subprocess
import sys
import threading

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from mman_jax.data.parts import prepare
from mman_jax.errors import InputError
from mman_jax.training import checkpoints
from tests import tiny


def test_a_snapshot_read_back_goes_on_to_the_same_end(tmp_path):
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3, epochs=2), seeds=2)
    kept = tiny.kept(trainer.run(labels, [0, 1]))
    for middle in kept[:4]:
        checkpoints.save(tmp_path, *checkpoints.pack(middle))
        back = checkpoints.unpack(*checkpoints.restore(tmp_path), trainer.stages, trainer.template)
        chex.assert_trees_all_equal(back, middle)
    end = tiny.last(trainer, labels, [0, 1], back)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, {"a": {"b": np.full(2, step)}}, {"step": step})
    arrays, card = checkpoints.restore(tmp_path)
    np.testing.assert_array_equal(arrays["a"]["b"], [3, 3])
    assert card == {"step": 3}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_nothing_there_is_none(tmp_path):
    assert checkpoints.restore(tmp_path) is None
    assert checkpoints.restore(tmp_path / "missing") is None


def test_a_damaged_checkpoint_is_named(tmp_path):
    checkpoints.save(tmp_path, {"a": np.arange(100.0)}, {})
    for path in (tmp_path / "0" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(InputError, match="unreadable"):
        checkpoints.restore(tmp_path)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    for number in (1, 2):
        checkpoints.save(tmp_path, {"a": np.full(100, number)}, {"number": number})
    for path in (tmp_path / "1" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    arrays, card = checkpoints.restore(tmp_path)
    np.testing.assert_array_equal(arrays["a"], np.ones(100))
    assert card == {"number": 1}


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        checkpoints.save(tmp_path / "file", {"a": np.zeros(2)}, {})


def files(directory):
    return sorted(p for p in directory.rglob("*") if p.is_file())


def test_any_damaged_byte_is_seen(tmp_path):
    checkpoints.save(tmp_path, {"a": np.arange(1000.0)}, {"x": 1})
    for path in files(tmp_path):
        whole = path.read_bytes()
        damaged = bytearray(whole or b"x")
        damaged[len(whole) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=str(tmp_path)):
            checkpoints.restore(tmp_path)
        path.write_bytes(whole)
    assert checkpoints.restore(tmp_path)[1] == {"x": 1}


def test_an_unfinished_checkpoint_is_passed_over_and_then_dropped(tmp_path):
    for number in range(3):
        checkpoints.save(tmp_path, {"a": np.full(10, number)}, {"number": number})
    (tmp_path / "2" / checkpoints.DIGESTS).unlink()  # killed before it was signed
    assert checkpoints.restore(tmp_path)[1] == {"number": 1}
    checkpoints.save(tmp_path, {"a": np.full(10, 3)}, {"number": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3"]


def test_whole_checkpoints_stay_until_the_next_one_is_whole(tmp_path, monkeypatch):
    for number in range(2):
        checkpoints.save(tmp_path, {"a": np.full(10, number)}, {"number": number})

    def fail(_):
        raise OSError(28, "No space left on device")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "sign", fail)
            with pytest.raises(InputError, match="No space left"):
                checkpoints.save(tmp_path, {"a": np.zeros(10)}, {})
        assert checkpoints.restore(tmp_path)[1] == {"number": 1}


def test_more_claimed_than_there_can_be_is_refused(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, {"a": np.zeros(10**6, np.float32)}, {})  # zeros pack well
    checkpoints.restore(tmp_path)
    monkeypatch.setattr(checkpoints, "_FREE_BYTES", 0)
    monkeypatch.setattr(checkpoints, "_LARGEST_RATIO", 1)
    with pytest.raises(InputError, match="claim to hold 4000000"):
        checkpoints.restore(tmp_path)


def test_a_checkpoint_of_another_network_or_version_is_refused():
    config, corpus = tiny.dense(dropout=0.3, epochs=2), tiny.corpus()
    trainer, labels = tiny.trainer(config, seeds=2)
    arrays, card = checkpoints.pack(next(iter(trainer.run(labels, [0, 1]))))
    more = {m: np.pad(x, ((0, 0), (0, 1))) for m, x in corpus.features.items()}
    wider, _ = tiny.trainer(config, prepare(dataclasses.replace(corpus, features=more)), seeds=2)
    with pytest.raises(InputError, match=r"run: .*kernel.*of another network; expected float32"):
        checkpoints.unpack(arrays, card, wider.stages, wider.template, "run")
    fewer = {**arrays, "state": dict(list(arrays["state"].items())[:-1])}
    with pytest.raises(InputError, match="arrays, of another network; expected"):
        checkpoints.unpack(fewer, card, trainer.stages, trainer.template, "run")
    for other in (0, None, "x"):
        with pytest.raises(InputError, match=r"run: format .* another version of mman_jax"):
            checkpoints.unpack(
                arrays, {**card, "format": other}, trainer.stages, trainer.template, "run"
            )
    with pytest.raises(InputError, match="run: stage 'later'; expected one of towers, fusion"):
        checkpoints.unpack(
            arrays, {**card, "stage": "later"}, trainer.stages, trainer.template, "run"
        )


@pytest.fixture
def signed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1234")
    (tmp_path / "y").write_bytes(b"")
    checkpoints.sign(tmp_path)
    return tmp_path


def test_what_was_signed_is_whole_and_may_be_signed_again(signed):
    checkpoints.verify(signed)
    checkpoints.sign(signed)
    checkpoints.verify(signed)
    assert sorted(p.name for p in signed.iterdir()) == ["a", checkpoints.DIGESTS, "y"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "a" / "x").write_bytes(b"1235"), "a/x: a damaged file"),
        (lambda f: (f / "y").write_bytes(b"1"), "y: a damaged file"),
        (lambda f: (f / "y").unlink(), "y: a missing file"),
        (lambda f: (f / "z").write_bytes(b""), "z: a unknown file"),
        (lambda f: (f / "y").rename(f / "a" / "y"), "a/y: a unknown file"),
        (lambda f: (f / checkpoints.DIGESTS).unlink(), "no digests.json"),
        (lambda f: (f / checkpoints.DIGESTS).write_text("{"), "digests.json: unreadable"),
        (lambda f: (f / checkpoints.DIGESTS).write_text("[" * 9999), "digests.json: unreadable"),
        (
            lambda f: os.truncate(f / checkpoints.DIGESTS, 16 << 20),
            "digests.json: unreadable (Extra",
        ),
        (
            lambda f: os.truncate(f / checkpoints.DIGESTS, (16 << 20) + 1),
            "digests.json: unreadable (16777217 bytes); expected the digests of a checkpoint",
        ),
        (lambda f: (f / checkpoints.DIGESTS).write_text("[]"), "digests.json: a list"),
        (
            lambda f: (f / checkpoints.DIGESTS).write_text(json.dumps({"y": 1})),
            "a/x: a unknown file",
        ),
    ],
)
def test_any_change_is_named(signed, change, said):
    change(signed)
    with pytest.raises(InputError) as error:
        checkpoints.verify(signed)
    assert said in str(error.value)
    assert str(signed) in str(error.value)


def test_a_place_that_cannot_be_written_is_the_caller_s_to_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoints.sign(tmp_path / "none")


def test_a_refusal_is_found_wherever_it_is():
    full = OSError(28, "No space left on device")
    wrapped = RuntimeError("from a thread")
    wrapped.__cause__ = full
    several = ExceptionGroup("two", [ValueError("x"), wrapped])
    stored = ValueError('RESOURCE_EXHAUSTED: writing "a/0": [OS error 28: No space left on device]')
    for error in (full, wrapped, several, stored):
        assert "No space left on device" in checkpoints.refusal(error)
    circle = ValueError("x")
    circle.__cause__ = RuntimeError("y")
    circle.__cause__.__cause__ = circle
    for error in (ValueError("x"), circle, KeyError(28)):
        assert not checkpoints.refusal(error)


def test_a_bug_stays_one(tmp_path, monkeypatch):
    def fail(_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(checkpoints, "sign", fail)
    with pytest.raises(ZeroDivisionError):
        checkpoints.save(tmp_path, {"a": np.zeros(2)}, {})


def test_what_was_silent_speaks_again():
    level, hook = logging.getLogger("absl").level, threading.excepthook
    with checkpoints.silence_threads():
        assert not logging.getLogger("absl").isEnabledFor(logging.CRITICAL)
    assert (logging.getLogger("absl").level, threading.excepthook) == (level, hook)


def test_a_task_that_the_disk_failed_is_not_told_when_it_is_collected(caplog):
    async def fails(error):
        raise error

    async def lost(error):
        asyncio.ensure_future(fails(error))  # noqa: RUF006
        await asyncio.sleep(0)

    full = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"), checkpoints.silence_threads():
        raise full
    try:
        for error, told in ((full, 0), (ZeroDivisionError("a bug"), 1)):
            asyncio.run(lost(error))
            gc.collect()
            assert len(caplog.records) == told
    finally:
        with checkpoints.silence_threads():  # as before
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


@pytest.mark.parametrize("free", [0, 20_000, 400_000])
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
