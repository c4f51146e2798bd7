import ctypes.util
import shutil

import numpy as np
import pytest

from mman_jax.demo import espeak
from mman_jax.errors import InputError
from mman_jax.features import media

pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
spoken = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="voices need espeak-ng: apt-get install espeak-ng"
)


def test_times_of_words():
    words = "I think of it so much in the end"
    begins = [(0, 0.0), (2, 0.1), (8, 0.4), (11, 0.5), (14, 0.6), (15, 0.9), (22, 1.3), (29, 1.9)]
    begins.append((31, 2.4))  # beyond the end
    placed = espeak.placed(words, begins, 2.3)
    assert " ".join(word for word, *_ in placed) == words
    expected = [0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.3, 1.3 + 0.6 * 3 / 7, 1.9, 2.3]
    np.testing.assert_allclose([start for _, start, _ in placed], expected[:-1])
    np.testing.assert_allclose([end for *_, end in placed], expected[1:])
    assert espeak.placed("no", [(0, 0.1), (1, 0.4)], 0.3) == (("no", 0.1, 0.3),)


@spoken
def test_voices():
    def speak(text, rate=160):
        sound, words = espeak.speak("en-gb+f1", text, 50, rate, 100)
        return sound, [word for word, *_ in words], np.array([times for _, *times in words])

    sound, words, times = speak("we go home now")
    assert words == ["we", "go", "home", "now"]
    assert times[0, 0] == 0
    np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
    assert (times[:, 1] - times[:, 0] > 0.05).all()
    assert times[-1, 1] <= len(sound) / media.SAMPLE_RATE + 0.01
    # A longer word delays those after it, and a higher rate shortens all.
    assert speak("everybody go home now")[2][1, 0] > times[1, 0] + 0.2
    assert speak("we go home now", 240)[2][-1, 1] < 0.85 * times[-1, 1]
    # Another last word changes the sound where it begins.
    other, _, later = speak("we go home soon")
    start = round(min(times[-1, 0], later[-1, 0]) * media.SAMPLE_RATE)
    assert np.abs(sound[start : start + 4000] - other[start : start + 4000]).max() > 0.05
    for voice, text, found in (("klingon-x", "hello", "no voice"), ("en-gb+f1", " ", "no sound")):
        with pytest.raises(InputError, match=found):
            espeak.speak(voice, text, 50, 160, 100)


def test_without_espeak(monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(espeak, "_NAMES", ())
    with pytest.raises(InputError, match="espeak-ng: no library"):
        espeak.loaded.__wrapped__()
