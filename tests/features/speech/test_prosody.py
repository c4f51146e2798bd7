"""Prosody, against sounds whose pitch, level and timing are known."""

import numpy as np
import pytest
from scipy import signal

from mman_jax.errors import InputError
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speech import prosody
from tests.features import clips


def hum(pitch, seconds=1.0, level=0.1, harmonics=12):
    """A harmonic sound; `pitch` is a number, or one per sample."""
    pitch = np.broadcast_to(pitch, round(seconds * SAMPLE_RATE))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    return level * sum(np.sin(k * phase) / k for k in range(1, harmonics + 1))


def named(samples):
    values = prosody.statistics(np.asarray(samples, np.float32))
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    return dict(zip(prosody.NAMES, values.tolist(), strict=True))


@pytest.mark.parametrize("pitch", [80, 150, 280, 440])
def test_pitch_of_harmonic_sounds(pitch):
    features = named(hum(pitch))
    semitones = 12 * np.log2(pitch / 27.5)
    for statistic in ("mean", "p5", "p50", "p95"):
        assert features[f"pitch_{statistic}"] == pytest.approx(semitones, abs=0.1)
    assert features["voiced_share"] > 0.95
    noise = 0.1 * np.random.default_rng(0).normal(size=SAMPLE_RATE)
    assert named(noise)["voiced_share"] < 0.1


def test_a_rising_pitch_rises_by_its_slope():
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    features = named(hum(100 * 2 ** (seconds / 2)))  # six semitones in a second
    for name in ("pitch_rise", "pitch_end", "pitch_change"):
        assert features[name] == pytest.approx(6, abs=0.7)
    assert features["pitch_deviation"] == pytest.approx(6 / np.sqrt(12), abs=0.2)


def test_level_and_scale():
    voice = clips.voice(1, 150)
    quiet, loud = named(voice), named(2 * voice)
    for name in ("energy_mean", "energy_p50", "energy_p95"):
        assert loud[name] - quiet[name] == pytest.approx(20 * np.log10(2), abs=0.1)
    assert loud["loudness_mean"] / quiet["loudness_mean"] == pytest.approx(4**0.3, rel=0.01)
    for name in ("pitch_mean", "mfcc_3_mean", "alpha_ratio_mean", "centroid_mean"):
        assert loud[name] == pytest.approx(quiet[name], abs=0.01)


def test_the_slope_of_the_spectrum():
    # Harmonics of the amplitudes 1 / k fall by 6 dB per octave, a single one by far more.
    flat, steep = named(hum(150, harmonics=25)), named(hum(150, harmonics=1))
    assert steep["alpha_ratio_mean"] > flat["alpha_ratio_mean"] + 10
    assert steep["hammarberg_mean"] > flat["hammarberg_mean"] + 10
    assert steep["centroid_mean"] == pytest.approx(0.15, abs=0.02)


def test_times_of_voice_and_pauses():
    silence = np.zeros(SAMPLE_RATE // 2)
    features = named(np.concatenate([hum(150, 0.5), silence, hum(200, 0.5), silence]))
    assert features["voiced_per_second"] == pytest.approx(1, abs=0.01)
    for name in ("voiced_length_mean", "pause_length_mean", "voiced_share", "pause_share"):
        assert features[name] == pytest.approx(0.5, abs=0.06)
    assert features["voiced_length_deviation"] < 0.03
    syllables = np.concatenate([hum(150, 0.15), np.zeros(800)] * 5)
    assert named(syllables)["peaks_per_second"] == pytest.approx(5, abs=0.5)


def test_silence_has_no_pitch_and_short_sound_is_refused():
    features = named(np.zeros(SAMPLE_RATE))
    unknown = ("pitch_mean", "voiced_share", "harmonicity_mean", "mfcc_1_mean", "pitch_end")
    assert [features[name] for name in unknown] == [0] * len(unknown)
    assert features["pause_share"] == 1
    with pytest.raises(InputError, match=r"0\.060 s of sound; expected"):
        prosody.statistics(np.zeros(959, np.float32))
    assert len(prosody.statistics(np.zeros(960, np.float32))) == len(prosody.NAMES)


def test_calls_at_8_khz_have_the_same_features():
    voice = clips.voice(2, 150)
    narrow = signal.resample_poly(signal.resample_poly(voice, 1, 2), 2, 1)
    wide, call = named(voice), named(narrow)
    for name in ("pitch_mean", "pitch_deviation", "energy_p80", "alpha_ratio_p50", "mfcc_1_mean"):
        assert call[name] == pytest.approx(wide[name], abs=0.5)


def test_blocks_and_frames_do_not_matter(monkeypatch):
    voice = clips.voice(1.5, 180)
    whole = prosody.descriptors(voice)
    assert whole.shape == (150, len(prosody.DESCRIPTORS))
    monkeypatch.setattr(prosody, "_BLOCK", 60)
    np.testing.assert_allclose(prosody.descriptors(voice)[:, :4], whole[:, :4], atol=1e-9)


def test_mel_filters_have_unit_area():
    filters = prosody.mel_filters(40, 4096)
    spacing = SAMPLE_RATE / 4096
    np.testing.assert_allclose(filters.sum(1) * spacing, 1, atol=0.02)
    peaks = filters.argmax(1) * spacing
    assert np.all(np.diff(peaks) > 0)
    # Linear below 1 kHz, logarithmic above.
    np.testing.assert_allclose(np.diff(peaks)[:10], np.diff(peaks)[0], atol=2 * spacing)
    ratios = peaks[30:][1:] / peaks[30:][:-1]
    np.testing.assert_allclose(ratios, ratios[0], atol=0.02)
