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


def test_what_the_library_tells_becomes_one_time_a_word():
    words = "I think of it so much in the end"
    begins = [(0, 0.0), (2, 0.1), (8, 0.4), (11, 0.5), (14, 0.6), (15, 0.9), (22, 1.3), (29, 1.9)]
    begins.append((31, 2.4))  # as all ends
    found = espeak.placed(words, begins, 2.3)
    assert " ".join(word for word, *_ in found) == words
    expected = [0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.3, 1.3 + 0.6 * 3 / 7, 1.9, 2.3]
    np.testing.assert_allclose([start for _, start, _ in found], expected[:-1])
    np.testing.assert_allclose([end for *_, end in found], expected[1:])
    assert espeak.placed("no", [(0, 0.1), (1, 0.4)], 0.3) == (("no", 0.1, 0.3),)


@spoken
def test_each_word_where_it_is_said():
    sound, words = espeak.speak("en-gb+f1", "we go home now", 50, 160, 100)
    assert [word for word, *_ in words] == ["we", "go", "home", "now"]
    times = np.array([own for _, *own in words])
    assert times[0, 0] == 0
    np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
    assert (times[:, 1] - times[:, 0] > 0.05).all()
    assert times[-1, 1] <= len(sound) / media.SAMPLE_RATE + 0.01
    # A longer word before it moves a word, and a faster voice all of them.
    _, later = espeak.speak("en-gb+f1", "everybody go home now", 50, 160, 100)
    assert later[1][1] > times[1, 0] + 0.2
    _, faster = espeak.speak("en-gb+f1", "we go home now", 50, 240, 100)
    assert faster[-1][2] < 0.85 * times[-1, 1]
    # Before the last word begins there is no trace of what it is.
    other, changed = espeak.speak("en-gb+f1", "we go home soon", 50, 160, 100)
    start = round(min(times[-1, 0], changed[-1][1]) * media.SAMPLE_RATE)
    assert np.abs(sound[start : start + 4000] - other[start : start + 4000]).max() > 0.05


@spoken
def test_a_voice_that_it_lacks_and_words_without_sound():
    with pytest.raises(InputError, match="no voice 'klingon-x'"):
        espeak.speak("klingon-x", "hello", 50, 160, 100)
    with pytest.raises(InputError, match="no sound"):
        espeak.speak("en-gb+f1", " ", 50, 160, 100)


def test_without_espeak(monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(espeak, "_NAMES", ())
    with pytest.raises(InputError, match="espeak-ng: no library; expected it installed"):
        espeak.loaded.__wrapped__()
