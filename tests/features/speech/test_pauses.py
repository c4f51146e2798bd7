import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speech import pauses

RATE = SAMPLE_RATE


def loud(pcm):
    return np.abs(np.frombuffer(pcm, "<i2")).max() > 1000


def sound(*parts):
    """Seconds of a square wave (positive) and of silence (negative)."""
    return np.concatenate(
        [np.full(round(abs(s) * RATE), 0.5 if s > 0 else 0.0, np.float32) for s in parts]
    )


def pieces(samples, size=1000):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def spans(samples, size=1000, **how):
    found = pauses.cut(pieces(samples, size), loud, **how)
    return [(round(s.start, 2), round(s.end, 2)) for s in found]


def test_utterances_lie_between_pauses():
    # In frames of 30 ms: voice from 1.2 to 2.1 and from 3.3 to 3.9 s, and up to 0.15 s around it.
    given = sound(-1.2, 0.9, -1.2, 0.6, -0.9)
    assert spans(given) == [(1.05, 2.25), (3.15, 4.05)]
    for size in (1, 479, 480, 100_000):
        assert spans(given, size) == spans(given)
    (first, second) = pauses.cut(pieces(given), loud)
    for found in (first, second):
        np.testing.assert_array_equal(
            found.samples, given[round(found.start * RATE) : round(found.end * RATE)]
        )
        assert found.samples.dtype == np.float32


def test_short_pauses_do_not_cut_and_clicks_are_left_out():
    assert spans(sound(-0.6, 0.6, -0.3, 0.6, -0.9)) == [(0.45, 2.25)]
    assert len(spans(sound(-0.6, 0.6, -0.3, 0.6, -0.9), pause=0.2)) == 2
    assert spans(sound(-0.6, 0.06, -0.9, 0.15, -0.9)) == []


def test_an_utterance_comes_as_soon_as_its_pause_is_over():
    taken = []

    def chunks():
        for i, piece in enumerate(pieces(sound(-0.6, 0.6, -3.0), 480)):
            taken.append(i)
            yield piece

    next(pauses.cut(chunks(), loud, pause=0.48))
    assert len(taken) == (0.6 + 0.6 + 0.48) / 0.03


def test_what_lasts_too_long_is_cut_without_a_loss():
    given = sound(-0.6, 4.8, -0.9)
    found = list(pauses.cut(pieces(given), loud, longest=1.5))
    assert [round(s.start, 2) for s in found] == [0.45, 1.95, 3.45, 4.95]
    assert found[-1].end == pytest.approx(5.55)
    joined = np.concatenate([s.samples for s in found])
    np.testing.assert_array_equal(joined, given[round(0.45 * RATE) : round(5.55 * RATE)])


def test_the_end_of_the_sound_ends_an_utterance():
    assert spans(sound(-0.6, 0.9)) == [(0.45, 1.5)]
    assert spans(sound(0.9)) == [(0.0, 0.9)]
    assert spans(np.zeros(0, np.float32)) == []


@pytest.mark.parametrize("how", [dict(pause=0), dict(shortest=0.01), dict(longest=0.2)], ids=str)
def test_lengths_that_no_utterance_has_are_refused(how):
    with pytest.raises(InputError, match="utterances: pause"):
        spans(sound(1), **how)


def test_the_detector_tells_a_voice_from_silence():
    pytest.importorskip("webrtcvad", reason="listening needs it: pip install -e '.[listen]'")
    times = np.arange(2 * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 25))
    noise = 1e-4 * np.random.default_rng(0).normal(size=6 * RATE)
    noise[2 * RATE : 4 * RATE] += 0.2 * hum
    (found,) = pauses.cut(pieces(noise.astype(np.float32)), pauses.detector())
    assert found.start == pytest.approx(2, abs=0.2)
    assert found.end == pytest.approx(4, abs=0.4)
