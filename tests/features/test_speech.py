import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import speech
from tests.features.clips import wave

pytest.importorskip("opensmile", reason="functionals need openSMILE: pip install -e '.[speech]'")


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
    with pytest.raises(InputError, match=r"s of sound; expected at least 0\.06 s"):
        speech.functionals(samples[:count])


def test_silence_is_finite():
    assert np.isfinite(speech.functionals(np.zeros(16000, np.float32))).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [(dict(feature_set="egemap"), "'egemaps'"), (dict(components=-1), "components")],
)
def test_settings_refused(changes, said):
    with pytest.raises(InputError, match=said):
        speech.SpeechSettings(**changes)
