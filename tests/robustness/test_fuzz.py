"""A short part of the fuzzer, and what the fuzzer detects."""

import json
import os
import pickle
import subprocess
import threading
import time
import warnings

import numpy as np
import pytest

from mman_jax.errors import InputError
from tests.children import run
from tests.robustness import examples, fuzz, guard, targets

pytestmark = pytest.mark.e2e

MEMORY = 700 << 20
CASES = {
    "npz": 80, "layouts": 120, "folders": 100, "tables": 50, "csd": 40, "runs": 50, "lines": 50,
    "states": 50, "extractions": 50, "models": 50, "checkpoints": 10,
}  # fmt: skip


@pytest.mark.parametrize("name", targets.TARGETS)
def test_readers_survive_a_short_part_of_the_fuzzer(name, tmp_path):
    report = fuzz.fuzz(targets.TARGETS[name], CASES[name], seed=7, keep=tmp_path / "keep")
    assert report["failures"] == 0, report["first_failures"]
    assert report["cases"] == CASES[name]
    assert report["successes"] > 0
    assert report["refusals"] > CASES[name] // 5
    assert not (tmp_path / "keep").exists()


def refuse(path):
    raise InputError(path, "of no use")


def accept(path):
    path.read_bytes()


def crash(path):
    os._exit(3)


def key_error(path):
    raise KeyError("x")


def nameless(path):
    raise InputError("somewhere", "of no use")


def unprintable(path):
    error = InputError(path, "of no use")
    error.args = (f"{path}: two\nlines",)
    raise error


def spin(path):
    while True:
        pass


def sleep(path):
    time.sleep(1000)


def touch_memory(path):
    # Resident memory exceeds the limit together with that of the process; address space does not.
    np.ones((MEMORY - (64 << 20)) // 8)


def ask_for_memory(path):
    try:
        np.empty(1 << 40)
    except MemoryError as error:
        raise InputError(path, "too much") from error


def write(path):
    (path.parent / "other").write_text("x")


def overwrite(path):
    os.close(os.open(path, os.O_RDWR))


def shell(path):
    subprocess.run(["true"], check=True)


def unpickle(path):
    pickle.loads(b"cos\nsystem\n(X\x04\0\0\0truetR.")


def warn(path):
    warnings.warn("something", stacklevel=1)


def print_late(path):
    thread = threading.Thread(target=lambda: os.write(2, b"Traceback"))
    thread.start()
    thread.join()


def misbehave(path):
    globals()[path.read_bytes().decode()](path)


@pytest.fixture(scope="module")
def guarded():
    with guard.Guard(misbehave, "case", 0.5, MEMORY) as watched:
        yield watched


@pytest.mark.parametrize(
    ("opener", "outcome", "detail"),
    [
        (accept, guard.SUCCESS, ""),
        (refuse, guard.REFUSAL, "of no use"),
        (crash, guard.FAILURE, "status 3"),
        (key_error, guard.FAILURE, "KeyError"),
        (nameless, guard.FAILURE, "does not name"),
        (unprintable, guard.FAILURE, "not one printable line"),
        (spin, guard.FAILURE, "a hang: over 0.5 s"),
        (sleep, guard.FAILURE, "a hang: no answer"),
        (touch_memory, guard.FAILURE, "MiB of memory"),
        (ask_for_memory, guard.FAILURE, "asked for more"),
        (write, guard.FAILURE, "to write"),
        (overwrite, guard.FAILURE, "to write"),
        (shell, guard.FAILURE, "subprocess.Popen"),
        (unpickle, guard.FAILURE, "os.system"),
        (warn, guard.FAILURE, "a warning"),
    ],
)
def test_failures_are_detected_and_the_next_case_is_checked(
    guarded, opener, outcome, detail, monkeypatch
):
    monkeypatch.setattr(guard, "_PATIENCE", 2.0 if opener is sleep else 60.0)
    verdict = guarded.check({"case": opener.__name__.encode()})
    assert verdict.outcome == outcome, verdict.detail
    assert detail in verdict.detail


def test_output_is_detected(guarded):
    assert guarded.check({"case": b"print_late"}).printed == "Traceback"
    assert guarded.check({"case": b"accept"}).printed == ""


def test_a_failing_case_is_kept(tmp_path):
    report = fuzz.fuzz(targets.Target("lines", "case.jsonl", key_error), 3, 0, tmp_path / "keep")
    assert report["failures"] == 3
    kept = tmp_path / "keep" / "lines_0" / "case.jsonl"
    assert kept.read_bytes() == examples.lines()[0]["case.jsonl"]
    assert "KeyError" in (tmp_path / "keep" / "lines_0.txt").read_text()


def test_command(tmp_path):
    flags = ("--cases=5", "--target=lines,runs", f"--keep={tmp_path}/keep")
    ended = run("tests.robustness.fuzz", *flags)
    assert ended.returncode == 0, ended.stderr
    reports = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(x["target"], x["cases"]) for x in reports] == [("lines", 3), ("runs", 2)]
    (tmp_path / "full").touch()
    ended = run("tests.robustness.fuzz", f"--keep={tmp_path}")
    assert (ended.returncode, ended.stderr.startswith("error: ")) == (2, True)
