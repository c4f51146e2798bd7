import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.speech import functionals as speech
from tests.features.clips import wave

pytest.importorskip("opensmile", reason="functionals need it: pip install 'mman_jax[speech]'")
LOUDNESS, PITCH = 0, 10  # columns of descriptors


@pytest.fixture
def samples():
    return wave(1.0, 200.0).astype(np.float32)


@pytest.mark.parametrize(("feature_set", "size"), [("compare", 6373), ("egemaps", 88)])
def test_sizes(samples, feature_set, size):
    for sound in (samples, 0 * samples):
        values = speech.functionals(sound, feature_set)
        assert values.shape == (size,)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_utterances_are_independent_of_earlier_ones(samples):
    alone = speech.functionals(samples, "egemaps")
    speech.functionals(wave(0.5, 900.0, noise=3).astype(np.float32), "egemaps")
    np.testing.assert_array_equal(speech.functionals(samples, "egemaps"), alone)


def test_short_sound_is_refused(samples):
    for count in (0, 1, 959):
        for measure in (speech.functionals, speech.descriptors):
            with pytest.raises(InputError, match=r"0\.\d+ s of sound"):
                measure(samples[:count])
    assert speech.functionals(samples[:960], "egemaps").shape == (88,)


def test_sound_is_clipped_at_full_scale(samples):
    # Decoders of lossy sound exceed it; 16-bit numbers would overflow.
    loud = speech.functionals(4 * samples, "egemaps")
    cut = np.clip(4 * samples, -1, 32767 / 32768)
    np.testing.assert_array_equal(loud, speech.functionals(cut, "egemaps"))
    full, almost = (
        speech.functionals(np.full(16000, level, np.float32), "egemaps") for level in (1, 0.999)
    )
    np.testing.assert_allclose(full, almost, rtol=0.01, atol=0.01)


def test_functionals_that_are_not_finite_are_refused(samples, monkeypatch):
    infinite = np.array([[1.0, np.inf]])
    monkeypatch.setattr(speech, "opensmile_extractor", lambda _: lambda *_: infinite)
    with pytest.raises(InputError, match="not finite"):
        speech.functionals(samples)


def test_descriptors_and_their_times():
    time = np.arange(media.SAMPLE_RATE) / media.SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in (1, 2, 3))
    samples = np.where((time > 0.4) & (time < 0.7), 0.3 * tone, 0).astype(np.float32)
    values = speech.descriptors(samples)
    assert values.shape[1] == 25
    assert values.dtype == np.float32
    times = speech.descriptor_times(len(values))
    assert 0.9 < times[-1, 1] <= 1.0
    np.testing.assert_allclose(np.diff(times[:, 0]), 0.01)
    middle = times.mean(1)
    inside, outside = (middle > 0.45) & (middle < 0.65), (middle < 0.35) | (middle > 0.75)
    assert values[inside, LOUDNESS].min() > 10 * values[outside, LOUDNESS].max()
    # In semitones above 27.5 Hz.
    np.testing.assert_allclose(values[inside, PITCH], 12 * np.log2(150 / 27.5), atol=0.5)
