"""A short, seeded part of the fuzzer, and that the fuzzer sees what it is there to see."""

import json
import os
import subprocess
import threading
import time
import warnings

import numpy as np
import pytest

from mman_jax.errors import InputError
from tests.children import run
from tests.robustness import examples, fuzz, guard, mutations, targets

MEMORY = 700 << 20
CASES = {
    "npz": 150, "pickles": 150, "folder": 100, "runs": 100, "lines": 100, "states": 100,
    "extractions": 100, "models": 100, "checkpoints": 15, "layouts": 150, "folders": 150,
    "tables": 100, "csd": 60,
}  # fmt: skip


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_short_part_of_the_fuzzer_finds_nothing(name, tmp_path):
    found = fuzz.fuzz(targets.TARGETS[name], CASES[name], seed=7, keep=tmp_path / "keep")
    assert found["failures"] == 0, found["first_failures"]
    assert found["cases"] == CASES[name]
    assert found["successes"] > 0
    assert found["refusals"] > CASES[name] // 5
    assert not (tmp_path / "keep").exists()


def test_the_same_seed_makes_the_same_cases(tmp_path):
    for name in ("npz", "folder"):
        made = [
            list(targets.cases(targets.TARGETS[name], 40, seed, tmp_path)) for seed in (1, 1, 2)
        ]
        assert made[0] == made[1]
        assert made[0] != made[2]


def test_every_kind_of_damage_changes_and_bounds_its_input():
    rng = np.random.default_rng(0)
    data = b'{"a": 12345, "b": [1, 2, 3]}' * 10
    for change in mutations._CHANGES:
        changed = [change(data, [b"donor" * 50], rng) for _ in range(50)]
        assert any(c != data for c in changed)
        assert isinstance(change(b"", [b""], rng), bytes)
    assert max(len(mutations.damage(data, [data], rng)) for _ in range(300)) <= 5 * (1 << 16)


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
    # With what the process holds by itself, too much; of addresses alone, little enough.
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
    with guard.Guard(misbehave, "case", 0.5, MEMORY) as made:
        yield made


@pytest.mark.parametrize(
    ("opener", "outcome", "said"),
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
        (warn, guard.FAILURE, "a warning beside"),
    ],
)
def test_what_must_not_happen_is_seen_and_the_next_case_is_checked(
    guarded, opener, outcome, said, monkeypatch
):
    monkeypatch.setattr(guard, "_PATIENCE", 2.0 if opener is sleep else 60.0)
    verdict = guarded.check({"case": opener.__name__.encode()})
    assert verdict.outcome == outcome, verdict.detail
    assert said in verdict.detail


def test_what_is_printed_is_seen(guarded):
    assert guarded.check({"case": b"print_late"}).printed == "Traceback"
    assert guarded.check({"case": b"accept"}).printed == ""


def test_a_failing_case_is_kept(tmp_path):
    target = targets.Target("lines", "case.jsonl", key_error)
    found = fuzz.fuzz(target, 3, 0, tmp_path / "keep")
    assert found["failures"] == 3
    kept = tmp_path / "keep" / "lines_0" / "case.jsonl"
    assert kept.read_bytes() == examples.lines()[0]["case.jsonl"]
    assert "KeyError" in (tmp_path / "keep" / "lines_0.txt").read_text()


def test_the_command(tmp_path):
    ended = run(
        "tests.robustness.fuzz", "--cases=4", "--target=lines,runs", f"--keep={tmp_path}/keep"
    )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["target"] for line in lines] == ["lines", "runs"]
    assert [line["cases"] for line in lines] == [2, 2]
    (tmp_path / "full").touch()
    ended = run("tests.robustness.fuzz", f"--keep={tmp_path}")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --keep:")
