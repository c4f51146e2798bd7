"""Turns compared with the recording's median turn, by hand."""

import numpy as np
import pytest

from mman_jax.features import description
from mman_jax.features.speech import prosody
from mman_jax.features.visual import windows


def test_turns_are_compared_with_the_median_turn():
    random = np.random.default_rng(0)
    turns = np.array([-50, 30, 4, 2.0]) + random.normal(size=(9, 4)) * [0.1, 0.1, 0.02, 0.02]
    assert description.compare(turns, description.VOICE) == [[]] * 9  # nobody hears these
    turns[2] += [-2, 0, 3, 0]
    turns[7] += [0, 1.5, 0, -3]
    described = description.compare(turns, description.VOICE)
    assert described[2] == ["quieter", "much faster"]
    assert described[7] == ["higher", "much more even"]
    assert sum(map(bool, described)) == 2
    # Two turns have no median.
    assert description.compare(turns[1:3], description.VOICE) == [[], []]


def test_measurements_of_a_louder_and_higher_sound():
    times = np.arange(16000) / 16000

    def hum(pitch, level):
        waves = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 15))
        return prosody.statistics((level * waves).astype(np.float32))

    low, high, silent = description.voice_values(
        np.stack([hum(110, 0.05), hum(220, 0.2), hum(110, 0)])
    )
    assert low.shape == (len(description.VOICE),)
    assert high[0] - low[0] == pytest.approx(12, abs=1)  # dB
    assert high[1] - low[1] == pytest.approx(12, abs=0.5)  # an octave
    np.testing.assert_array_equal(np.isnan(silent), [False, True, False, True])


def test_faces(monkeypatch):
    def measure(*faces):
        each = iter(faces)
        monkeypatch.setattr(windows, "faces", lambda frame: next(each))
        return description.measure_face(np.zeros((len(faces), 40, 60, 3), np.uint8))

    # The largest face moves by half a side, then by a full one, in four steps of a third of a
    # second; the last picture shows another face.
    moving = [(0, 0, 10), (50, 0, 4)], [(5, 0, 10)], [], [(5, 10, 10)], [(40, 0, 10)]
    side, movement = measure(*moving)
    assert side == 0.25
    np.testing.assert_allclose(movement, 1.5 * 3 / 4)
    rare = measure([(0, 0, 10)], [], [])
    assert np.isnan(rare).all()
    values = np.stack([rare, *np.tile([0.25, 0.5], (4, 1)), [0.25, 3.0]])
    described = description.describe_faces(values)
    assert described == [["no face seen"], [], [], [], [], ["much livelier"]]
    once = measure([(0, 0, 10)], [])
    np.testing.assert_array_equal(once, [0.25, np.nan])
    assert description.describe_faces(np.stack([once, *values[1:]]))[0] == []
    assert description.describe_faces(np.tile(rare, (2, 1))) == [["no face seen"]] * 2
