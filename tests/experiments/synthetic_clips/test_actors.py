import numpy as np
import pytest

from experiments.synthetic_clips import actors
from mman_jax.errors import InputError


def test_no_two_actors_of_the_demo_have_one_voice():
    people = actors.cast(len(actors.TIMBRES), np.random.default_rng(0))
    assert len({p.voice.split("+")[1] for p in people}) == len({p.name for p in people}) == 12


def test_without_espeak_or_with_a_voice_that_it_lacks(monkeypatch, tmp_path):
    (actor,) = actors.cast(1, np.random.default_rng(0))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="espeak-ng: not installed; expected the program"):
        actors.speak(actor, "hello", 0.0)
    (tmp_path / "espeak-ng").write_text("#!/bin/sh\necho no such voice >&2\nexit 1\n")
    (tmp_path / "espeak-ng").chmod(0o755)
    with pytest.raises(InputError, match=f"voice {actor.voice.split('+')[0]}.*no such voice"):
        actors.speak(actor, "hello", 0.0)
