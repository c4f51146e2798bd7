import subprocess

import pytest

from experiments.benchmark import sweeping

PRINTED = """\
inside training, by 3 groups: 1 validates, the 2 others train
towers, trial 1/4: 1.2 (speech 1.3, text 1.1), 30 s; all towers: batch=5
towers, trial 2/4: 1.1 (speech 1.2, text 1.0) after its first folds, 10 s; all towers: batch=6
early fusion, trial 1/2: ef 1.3, 8 s; ef: hidden=32
early fusion, trial 2/2: ef 1.3, 6 s; ef: hidden=33
loss: 50.00 % where nothing had a say, in 20 s
loss, smoothing 0.5: 51.00 % where nothing had a say, in 22 s
"""


def test_forty_trials_are_extrapolated_from_few(monkeypatch):
    ended = subprocess.CompletedProcess((), 0, PRINTED, "")
    monkeypatch.setattr(sweeping.subprocess, "run", lambda *_, **__: ended)
    monkeypatch.setattr(sweeping, "CONVERSATIONS", (3, 1, 1))
    (found,) = sweeping.case_sweep(None)
    assert found["seconds_a_trial"] == {"towers": 10, "early fusion": 6}
    assert found["seconds_a_rule"] == 21
    seconds = 30 + 39 * 10 + 8 + 19 * 6 + 20 + 22
    unsaid = found["seconds"] - (30 + 10 + 8 + 6 + 20 + 22)
    assert found["extrapolated_minutes"] == pytest.approx((seconds + unsaid) / 60)
