"""What of a command's start is told: parts in their order, programs by their three stages."""

import json
import time

import pytest

from experiments.benchmark import starting, watched
from tests.children import run

EVENT = "/jax/core/compile/"


def test_programs_are_told_apart_and_small_ones_summed():
    watch = watched.Watch()
    several = [("big", "jit(big)", 2.0), ("big", "jit(big)", 0.5), ("tiny", "jit(tiny)", 0.01)]
    for traced, name, seconds in several:
        watch.compiled(EVENT + "jaxpr_trace_duration", 0.03, fun_name=traced)
        watch.compiled(EVENT + "jaxpr_to_mlir_module_duration", 0.02, fun_name=name)
        watch.compiled(EVENT + "backend_compile_duration", seconds, fun_name=name)
    watch.compiled("/jax/compilation_cache/cache_retrieval_time_sec", 9.0)
    lines = list(starting.lines({"parts": [], "programs": watch.programs}, command="run"))
    *big, small = [(line["part"], pytest.approx(line["seconds"])) for line in lines]
    assert big == [("program", 2.05), ("program", 0.55)]
    assert small == ("smaller programs", 0.06)
    assert lines[-1]["programs"] == 1


def test_the_end_of_the_first_epoch_is_noted_once(capsys):
    watch = watched.Watch()
    watch.listen()
    try:
        print("towers: epoch 1/3  loss 1")
        print("fusion: epoch 1/3  loss 1")
    finally:
        watch.ignore()
    called = watch.timed("restoring", lambda x: time.sleep(0.2) or x)
    assert called(3) == 3
    first, restored = watch.parts
    assert first["part"] == "first epoch"
    assert restored["part"] == "restoring"
    assert restored["seconds"] >= 0.2 > restored["cpu_seconds"]
    assert "fusion" in capsys.readouterr().out


def test_a_command_runs_watched(tmp_path):
    told = tmp_path / "told.json"
    ended = run("experiments.benchmark.watched", told, "predict", "--help")
    assert ended.returncode == 0, ended.stderr
    assert "--checkpoint" in ended.stdout
    assert [part["part"] for part in json.loads(told.read_text())["parts"]] == ["imports", "whole"]
