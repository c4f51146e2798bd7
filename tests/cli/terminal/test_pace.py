import types

import numpy as np
import pytest

from mman_jax.cli.terminal import screen
from mman_jax.tasks import Classes
from mman_jax.training.state import Record, Snapshot


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(screen, "time", types.SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def after(epochs):
    ones = np.ones((epochs, 1, 1))
    return Snapshot("towers", None, Record(ones, ones, ones, ones, ones > 0, ones), {})


def test_the_time_of_an_epoch_follows_the_pace_since_the_last_line(clock, capsys):
    shown = screen.Screen()
    for seconds, epochs in ((10.0, 1), (110.0, 2), (120.0, 3)):
        clock.seconds = seconds
        shown.epoch("auto", after(epochs), 10, Classes("auto", ("a", "b")).progress)
    first, second, third = capsys.readouterr().out.splitlines()
    assert "per epoch" not in first
    assert "100.0 s per epoch, 110 s so far" in second
    assert "10.0 s per epoch, 120 s so far" in third
