import numpy as np
import pytest

from mman_jax.features.speech import manner


def test_a_louder_and_higher_sound_measures_so():
    pytest.importorskip("opensmile", reason="needs openSMILE: pip install 'mman_jax[speech]'")
    times = np.arange(16000) / 16000

    def hum(pitch, level):
        waves = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 15))
        return (level * waves).astype(np.float32)

    measured = np.stack([manner.measure(hum(110, 0.05)), manner.measure(hum(220, 0.2))])
    low, high = manner.values(measured)
    assert low.shape == (len(manner.MEASURES),)
    assert high[0] > low[0] + 0.1
    assert high[1] - low[1] == pytest.approx(12, abs=0.5)  # an octave
