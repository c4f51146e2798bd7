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

FULL = OSError(28, "No space left on device")


def save(folder, *numbers):
    for number in numbers:
        checkpoints.save(folder, {"a": {"b": np.full(100, number)}}, {"number": number})


def number_of(folder):
    """Returns the number of the checkpoint that is restored."""
    arrays, card = checkpoints.restore(folder)
    np.testing.assert_array_equal(arrays["a"]["b"], np.full(100, card["number"]))
    return card["number"]


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def trained():
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3, epochs=2), seeds=2)
    return trainer, labels, tiny.kept(trainer.run(labels, [0, 1]))


def test_training_resumes_from_a_stored_snapshot_to_the_same_end(trained, tmp_path):
    trainer, labels, snapshots = trained
    for middle in snapshots[:4]:
        checkpoints.save(tmp_path, *checkpoints.pack(middle))
        back = checkpoints.unpack(*checkpoints.restore(tmp_path), trainer.stages, trainer.template)
        chex.assert_trees_all_equal(back, middle)
    end = tiny.last(trainer, labels, [0, 1], back)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), snapshots[-1].state)


def test_a_snapshot_of_another_network_or_version_is_refused(trained):
    trainer, _, snapshots = trained
    arrays, card = checkpoints.pack(snapshots[0])
    corpus = tiny.corpus()
    more = {m: np.pad(x, ((0, 0), (0, 1))) for m, x in corpus.features.items()}
    parts = prepare(dataclasses.replace(corpus, features=more))
    wider, _ = tiny.trainer(tiny.dense(dropout=0.3, epochs=2), parts, seeds=2)
    fewer = {**arrays, "state": dict(list(arrays["state"].items())[:-1])}
    for of, given, changes, words in (
        (wider, arrays, {}, r"run: .*kernel.*of another network; expected float32"),
        (trainer, fewer, {}, "arrays, of another network"),
        *((trainer, arrays, {"format": x}, "run: format .* another version") for x in (0, None)),
        (trainer, arrays, {"stage": "later"}, "run: stage 'later'; expected one of towers, fusion"),
    ):
        with pytest.raises(InputError, match=words):
            checkpoints.unpack(given, card | changes, of.stages, of.template, "run")


def test_two_checkpoints_are_kept_and_the_newest_is_restored(tmp_path):
    assert checkpoints.restore(tmp_path) is None
    assert checkpoints.restore(tmp_path / "missing") is None
    save(tmp_path, 1, 2, 3)
    assert number_of(tmp_path) == 3
    assert names(tmp_path) == ["1", "2"]
    (tmp_path / "2" / checkpoints.DIGESTS).unlink()  # killed before it was signed
    assert number_of(tmp_path) == 2
    save(tmp_path, 4)
    assert names(tmp_path) == ["1", "3"]


def test_a_damaged_checkpoint_is_skipped_for_the_previous_one(tmp_path):
    save(tmp_path, 1, 2)
    for path in files(tmp_path / "1" / "arrays"):
        path.write_bytes(b"")
    assert number_of(tmp_path) == 1


def test_any_damaged_byte_is_detected(tmp_path):
    save(tmp_path, 1)
    for path in files(tmp_path):
        content = path.read_bytes()
        damaged = bytearray(content or b"x")
        damaged[len(content) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=str(tmp_path)):
            checkpoints.restore(tmp_path)
        path.write_bytes(content)
    assert number_of(tmp_path) == 1


def test_errors_of_the_disk_name_the_folder_and_keep_the_last_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        save(tmp_path / "file", 1)
    folder = tmp_path / "c"
    save(folder, 0, 1)

    def full(self, step, **_):  # as TensorStore reports it
        (folder / f"{step}.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: [OS error 28: ENOSPC No space left on device]")

    def unsigned(_):
        raise FULL

    for place, name, fail in (
        (checkpoints, "sign", unsigned),
        (ocp.CheckpointManager, "save", full),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(InputError, match="No space left"):
                save(folder, 2)
        assert number_of(folder) == 1
        assert not list(folder.glob("*tmp*"))

    def bug(_):
        raise ZeroDivisionError

    monkeypatch.setattr(checkpoints, "sign", bug)
    with pytest.raises(ZeroDivisionError):
        save(folder, 2)


def test_arrays_that_claim_too_much_memory_are_refused(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, {"a": np.zeros(10**6, np.float32)}, {})  # zeros pack well
    checkpoints.restore(tmp_path)
    monkeypatch.setattr(checkpoints, "_FREE_BYTES", 0)
    monkeypatch.setattr(checkpoints, "_LARGEST_RATIO", 1)
    with pytest.raises(InputError, match="claim to hold 4000000"):
        checkpoints.restore(tmp_path)


@pytest.fixture
def signed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1234")
    (tmp_path / "y").write_bytes(b"")
    checkpoints.sign(tmp_path)
    return tmp_path


def test_a_signed_folder_is_verified_and_may_be_signed_again(signed):
    checkpoints.verify(signed)
    checkpoints.sign(signed)
    checkpoints.verify(signed)
    assert names(signed) == ["a", checkpoints.DIGESTS, "y"]
    with pytest.raises(FileNotFoundError):
        checkpoints.sign(signed / "none")


def digests(content):
    return lambda f: (f / checkpoints.DIGESTS).write_text(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "a" / "x").write_bytes(b"1235"), "a/x: a damaged file"),
        (lambda f: (f / "y").write_bytes(b"1"), "y: a damaged file"),
        (lambda f: (f / "y").unlink(), "y: a missing file"),
        (lambda f: (f / "z").write_bytes(b""), "z: a unknown file"),
        (lambda f: (f / "y").rename(f / "a" / "y"), "a/y: a unknown file"),
        (lambda f: (f / checkpoints.DIGESTS).unlink(), "no digests.json"),
        (digests("{"), "digests.json: unreadable"),
        (digests("[" * 9999), "digests.json: unreadable"),
        (lambda f: os.truncate(f / checkpoints.DIGESTS, 16 << 20), "digests.json: unreadable"),
        (lambda f: os.truncate(f / checkpoints.DIGESTS, (16 << 20) + 1), "(16777217 bytes)"),
        (digests("[]"), "digests.json: a list"),
        (digests(json.dumps({"y": 1})), "a/x: a unknown file"),
    ],
)
def test_any_change_of_a_signed_folder_is_named(signed, change, words):
    change(signed)
    with pytest.raises(InputError) as error:
        checkpoints.verify(signed)
    assert words in str(error.value)
    assert str(signed) in str(error.value)


def test_a_refusal_of_the_disk_is_found_inside_other_errors():
    wrapped = RuntimeError("from a thread")
    wrapped.__cause__ = FULL
    several = ExceptionGroup("two", [ValueError("x"), wrapped])
    stored = ValueError('RESOURCE_EXHAUSTED: writing "a/0": [OS error 28: No space left on device]')
    for error in (FULL, wrapped, several, stored):
        assert "No space left on device" in checkpoints.refusal(error)
    circle = ValueError("x")
    circle.__cause__ = RuntimeError("y")
    circle.__cause__.__cause__ = circle
    for error in (ValueError("x"), circle, KeyError(28)):
        assert not checkpoints.refusal(error)


def test_threads_are_silent_only_inside_the_context(caplog):
    level, hook = logging.getLogger("absl").level, threading.excepthook
    with checkpoints.silence_threads():
        assert not logging.getLogger("absl").isEnabledFor(logging.CRITICAL)
    assert (logging.getLogger("absl").level, threading.excepthook) == (level, hook)

    async def fails(error):
        raise error

    async def lost(error):
        asyncio.ensure_future(fails(error))  # noqa: RUF006
        await asyncio.sleep(0)

    # A task that failed because of the disk is not reported when it is collected.
    with pytest.raises(OSError, match="No space"), checkpoints.silence_threads():
        raise FULL
    try:
        for error, reported in ((FULL, 0), (ZeroDivisionError("a bug"), 1)):
            asyncio.run(lost(error))
            gc.collect()
            assert len(caplog.records) == reported
    finally:
        with checkpoints.silence_threads():
            pass


FILLED = """
import os, pathlib, sys
import numpy as np
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


@pytest.mark.e2e
@pytest.mark.parametrize("free", [0, 400_000])
def test_a_full_disk_is_one_error_and_the_last_checkpoint_stays(small_disk, free):
    command = [sys.executable, "-c", FILLED, str(small_disk), str(free)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 2
    assert all("cannot be written" in line and "No space left" in line for line in lines)
    assert not ended.stderr
