import contextlib

import pytest

from experiments.benchmark import sweeping

SAID = """\
inside training, by 3 groups: 1 validates, the 2 others train
towers, trial 1/4: 1.2 (speech 1.3, text 1.1), 30 s; all towers: batch=5
towers, trial 2/4: 1.1 (speech 1.2, text 1.0) after its first folds, 10 s; all towers: batch=6
early fusion, trial 1/2: ef 1.3, 8 s; ef: hidden=32
early fusion, trial 2/2: ef 1.3, 6 s; ef: hidden=33
loss: 50.00 % where nothing had a say, in 20 s
loss, smoothing 0.5: 51.00 % where nothing had a say, in 22 s
"""
AT = (5, 35, 37, 45, 51, 71, 93)


class Sweep(contextlib.nullcontext):
    returncode = 0

    def __init__(self, *_, **__):
        super().__init__(self)
        self.stdout = SAID.splitlines(keepends=True)


def test_seconds_of_what_runs_side_by_side_sum_to_what_it_took():
    trials, rules = sweeping.seconds(list(zip(AT, SAID.splitlines(), strict=True)))
    assert trials == {"towers": [30, 2], "early fusion": [8, 6]}
    assert rules == [20, 22]


def test_forty_trials_are_extrapolated_from_few(monkeypatch):
    monkeypatch.setattr(sweeping.subprocess, "Popen", Sweep)
    monkeypatch.setattr(sweeping, "CONVERSATIONS", (3, 1, 1))
    began = 1000.0
    clock = iter([began, *(began + at for at in AT), began + 95])
    monkeypatch.setattr(sweeping.time, "perf_counter", lambda: next(clock))
    (found,) = sweeping.case_sweep(None)
    assert found["seconds_a_trial"] == {"towers": 16, "early fusion": 7}
    assert found["seconds_a_rule"] == 21
    minutes = (40 * 16 + 20 * 7 + 42 + 95 - 32 - 14 - 42) / 60
    assert found["extrapolated_minutes"] == pytest.approx(minutes)
