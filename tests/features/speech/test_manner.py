import numpy as np
import pytest

from mman_jax.features.speech import manner


def test_turns_are_compared_with_the_median_turn():
    random = np.random.default_rng(0)
    turns = np.array([1.0, 30, 2, 0.2]) + random.normal(size=(9, 4)) * [0.01, 0.1, 0.02, 0.001]
    assert manner.compare(turns) == [[]] * 9  # differences that nobody hears
    turns[2] += [-0.15, 0, 3, 0]
    turns[7] += [0, 1.5, 0, -0.2]
    told = manner.compare(turns)
    assert told[2] == ["quieter", "much faster"]
    assert told[7] == ["higher", "much more even"]
    assert sum(map(bool, told)) == 2
    assert manner.compare(turns[1:3]) == [[], []]  # two turns have no median


def test_a_louder_and_higher_sound_measures_so():
    pytest.importorskip("opensmile", reason="needs openSMILE: pip install -e '.[speech]'")
    times = np.arange(16000) / 16000

    def hum(pitch, level):
        waves = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 15))
        return (level * waves).astype(np.float32)

    measured = np.stack([manner.measure(hum(110, 0.05)), manner.measure(hum(220, 0.2))])
    low, high = manner.chosen(measured)
    assert low.shape == (len(manner.MEASURES),)
    assert high[0] > low[0] + 0.1
    assert high[1] - low[1] == pytest.approx(12, abs=0.5)  # an octave
