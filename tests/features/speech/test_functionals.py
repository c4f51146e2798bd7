import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.speech import functionals as speech
from tests.features.clips import wave

pytest.importorskip(
    "opensmile", reason="functionals need openSMILE: pip install 'mman_jax[speech]'"
)
LOUDNESS, PITCH = 0, 10  # columns of descriptors


@pytest.fixture
def samples():
    return wave(1.0, 200.0).astype(np.float32)


@pytest.mark.parametrize(("feature_set", "size"), [("compare", 6373), ("egemaps", 88)])
def test_sizes(samples, feature_set, size):
    found = speech.functionals(samples, feature_set)
    assert found.shape == (size,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_pitch_is_heard(samples):
    names = list(speech.opensmile_extractor("egemaps").feature_names)
    column = names.index("F0semitoneFrom27.5Hz_sma3nz_amean")
    for pitch in (150.0, 200.0, 300.0):
        # A pulse train has the harmonics that the pitch tracker looks for.
        times = np.arange(16000) / 16000
        pulses = sum(np.sin(2 * np.pi * k * pitch * times) for k in range(1, 9)) / 16
        found = speech.functionals(pulses.astype(np.float32), "egemaps")[column]
        assert abs(found - 12 * np.log2(pitch / 27.5)) < 0.5


def test_an_utterance_does_not_depend_on_those_before(samples):
    alone = speech.functionals(samples, "egemaps")
    speech.functionals(wave(0.5, 900.0, noise=3).astype(np.float32), "egemaps")
    np.testing.assert_array_equal(speech.functionals(samples, "egemaps"), alone)


@pytest.mark.parametrize("count", [0, 1, 959])
def test_too_short(count, samples):
    for measure in (speech.functionals, speech.descriptors):
        with pytest.raises(InputError, match=r"0\.\d+ s of sound"):
            measure(samples[:count])
    assert speech.functionals(samples[:960], "egemaps").shape == (88,)


def test_silence_is_finite():
    assert np.isfinite(speech.functionals(np.zeros(16000, np.float32))).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [(dict(feature_set="egemap"), "'egemaps'")],
)
def test_settings_refused(changes, said):
    with pytest.raises(InputError, match=said):
        speech.OpenSmile(**changes)


def test_what_is_louder_than_full_scale_is_as_loud_as_that(samples):
    # Decoders of lossy sound give such samples; as 16-bit numbers they would turn over.
    loud = speech.functionals(4 * samples, "egemaps")
    cut = np.clip(4 * samples, -1, 32767 / 32768)
    np.testing.assert_array_equal(loud, speech.functionals(cut, "egemaps"))
    whole = speech.functionals(np.ones(16000, np.float32), "egemaps")
    almost = speech.functionals(np.full(16000, 0.999, np.float32), "egemaps")
    np.testing.assert_allclose(whole, almost, rtol=0.01, atol=0.01)


def test_functionals_that_are_not_finite_are_refused(samples, monkeypatch):
    monkeypatch.setattr(
        speech, "opensmile_extractor", lambda _: lambda *_: np.array([[1.0, np.inf]])
    )
    with pytest.raises(InputError, match="speech: functionals that are not finite"):
        speech.functionals(samples)


def test_without_opensmile_the_extra_is_named(samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    speech.opensmile_extractor.cache_clear()
    with pytest.raises(InputError, match=r"opensmile is missing; expected .*'mman_jax\[speech\]'"):
        speech.functionals(samples)


def test_each_frame_is_of_its_own_time():
    rate = media.SAMPLE_RATE
    time = np.arange(rate) / rate
    tone = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in (1, 2, 3))
    samples = np.where((time > 0.4) & (time < 0.7), 0.3 * tone, 0).astype(np.float32)
    found = speech.descriptors(samples)
    assert found.shape[1] == 25
    assert found.dtype == np.float32
    times = speech.descriptor_times(len(found))
    assert 0.9 < times[-1, 1] <= 1.0
    np.testing.assert_allclose(np.diff(times[:, 0]), 0.01)
    middle = times.mean(1)
    inside, outside = (middle > 0.45) & (middle < 0.65), (middle < 0.35) | (middle > 0.75)
    assert found[inside, LOUDNESS].min() > 10 * found[outside, LOUDNESS].max()
    # Semitones above 27.5 Hz, as the name of the column has it.
    np.testing.assert_allclose(found[inside, PITCH], 12 * np.log2(150 / 27.5), atol=0.5)
