"""Speech synthesis by espeak-ng's library, which reports the times of words."""

import ctypes
import ctypes.util
import functools
import pathlib
import shutil
import tempfile
import wave
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media

Words = tuple[tuple[str, float, float], ...]
"""Words, each with start and end in seconds."""

_EXPECTED = "it installed (apt-get install espeak-ng, brew install espeak-ng)"
_VOICE = "espeak-ng 1.50 or newer, which has it"
_NAMES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dylib", "libespeak-ng.dll")

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_UTF8, _FINAL_PAUSE, _BY_CHARACTER = 1, 0x1000, 1
_WORD = 1


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),  # in the text, from 1
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@functools.cache
def loaded() -> tuple[Any, int]:
    """Loads the library; returns it and its sample rate."""
    program = shutil.which("espeak-ng")
    places = [ctypes.util.find_library("espeak-ng"), *_NAMES]
    if program:
        folder = pathlib.Path(program).resolve().parent.parent / "lib"
        places += [str(folder / name) for name in _NAMES]
    for place in filter(None, places):
        try:
            library = ctypes.CDLL(place)
        except OSError:
            continue
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _DO_NOT_EXIT)
        if rate <= 0:
            raise InputError("espeak-ng", "a library without its data", _EXPECTED)
        return library, rate
    raise InputError("espeak-ng", "no library", _EXPECTED)


def speak(voice: str, words: str, pitch: int, rate: int, loudness: int) -> tuple[np.ndarray, Words]:
    """Synthesises words; returns audio [samples] float32 at `media.SAMPLE_RATE`, and their times.

    A word ends where the next one begins, and the last word where the audio ends.

    Args:
        voice: An accent and a timbre, such as `en-gb+f1`.
        words: Words without punctuation.
        pitch: 0 to 99.
        rate: Words per minute.
        loudness: 0 to 200.
    """
    library, samples_a_second = loaded()
    name = voice.encode()
    if library.espeak_SetVoiceByName(name):
        wanted = _Voice(languages=name)
        if library.espeak_SetVoiceByProperties(ctypes.byref(wanted)):
            raise InputError("espeak-ng", f"no voice {voice!r}", _VOICE)
    for parameter, value in ((_PITCH, pitch), (_RATE, rate), (_VOLUME, loudness)):
        library.espeak_SetParameter(parameter, value, 0)
    chunks: list[np.ndarray] = []
    begins: list[tuple[int, float]] = []

    @_Callback
    def take(samples, count, events):
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type:
            if events[number].type == _WORD:
                begins.append((events[number].position - 1, events[number].milliseconds / 1000))
            number += 1
        return 0

    library.espeak_SetSynthCallback(take)
    text = words.encode()
    options = _UTF8 | _FINAL_PAUSE
    library.espeak_Synth(text, len(text) + 1, 0, _BY_CHARACTER, 0, options, None, None)
    sound = np.concatenate([np.zeros(0, np.int16), *chunks])
    if not sound.any() or not begins:
        raise InputError(f"espeak-ng, voice {voice}", "no sound", "words that it can say")
    end = (np.flatnonzero(sound)[-1] + 1) / samples_a_second
    return _resampled(sound, samples_a_second), placed(words, begins, float(end))


def placed(words: str, begins: Sequence[tuple[int, float]], end: float) -> Words:
    """Derives the time of each word from the library's events.

    Events do not correspond to words: words may share an event ("in the"), an event may be on the
    last letter of the preceding word ("so much"), and there may be an event at the end.

    Args:
        begins: Position in `words`, from 0, and seconds of each event.
        end: End of the last word in seconds.
    """
    names = words.split()
    ends = np.cumsum([len(word) + 1 for word in names])  # of each word, with a space
    starts: dict[int, float] = {0: begins[0][1]}
    for place, seconds in begins[1:]:
        number = max(int(np.searchsorted(ends, place, side="right")), max(starts) + 1)
        if number < len(names):
            starts[number] = seconds
    # Words that share an event divide its time in proportion to their letters.
    letters = np.concatenate([[0], ends])
    known, last = sorted(starts), max(starts.values())
    times = [*(starts[number] for number in known), max(end, last)]
    edges = np.interp(letters, letters[[*known, -1]], times)
    return tuple(zip(names, edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "speech.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(sound.itemsize)
            file.setframerate(rate)
            file.writeframes(sound.astype("<i2").tobytes())
        return media.read_audio(path)
