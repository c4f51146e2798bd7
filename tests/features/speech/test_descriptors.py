import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.speech import descriptors

pytest.importorskip("opensmile", reason="speech needs openSMILE: pip install 'mman_jax[speech]'")
LOUDNESS, PITCH = 0, 10  # columns


def test_each_frame_is_of_its_own_time():
    rate = media.SAMPLE_RATE
    time = np.arange(rate) / rate
    tone = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in (1, 2, 3))
    samples = np.where((time > 0.4) & (time < 0.7), 0.3 * tone, 0).astype(np.float32)
    found = descriptors.descriptors(samples)
    assert found.shape[1] == descriptors.FEATURES
    assert found.dtype == np.float32
    times = descriptors.times(len(found))
    assert 0.9 < times[-1, 1] <= 1.0
    np.testing.assert_allclose(np.diff(times[:, 0]), 0.01)
    middle = times.mean(1)
    inside, outside = (middle > 0.45) & (middle < 0.65), (middle < 0.35) | (middle > 0.75)
    assert found[inside, LOUDNESS].min() > 10 * found[outside, LOUDNESS].max()
    # Semitones above 27.5 Hz, as the name of the column has it.
    np.testing.assert_allclose(found[inside, PITCH], 12 * np.log2(150 / 27.5), atol=0.5)
    with pytest.raises(InputError, match=r"0\.013 s of sound"):
        descriptors.descriptors(samples[:200])
