"""What espeak-ng says, and when it says which word: its library tells, its program does not."""

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
"""Each word with its start and its end, in seconds."""

_EXPECTED = "it installed (apt-get install espeak-ng, brew install espeak-ng)"
_VOICE = "espeak-ng 1.50 or newer, which has it"
_NAMES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dylib", "libespeak-ng.dll")

# Of espeak-ng's speak_lib.h.
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
    """The library, ready to speak, and the samples a second that it makes.

    Raises:
        InputError: it is not installed, or has no data.
    """
    program = shutil.which("espeak-ng")
    beside = pathlib.Path(program).resolve().parent.parent / "lib" if program else None
    places = [ctypes.util.find_library("espeak-ng"), *_NAMES]
    places += [str(beside / name) for name in _NAMES] if beside else []
    for place in filter(None, places):
        try:
            found = ctypes.CDLL(place)
        except OSError:
            continue
        rate = found.espeak_Initialize(_SYNCHRONOUS, 0, None, _DO_NOT_EXIT)
        if rate <= 0:
            raise InputError("espeak-ng", "a library without its data", _EXPECTED)
        return found, rate
    raise InputError("espeak-ng", "no library", _EXPECTED)


def speak(voice: str, words: str, pitch: int, rate: int, loudness: int) -> tuple[np.ndarray, Words]:
    """The words as sound, [samples] float32 at `media.SAMPLE_RATE`, and when each is said.

    A word ends where the next begins, the last where the sound does.

    Args:
        voice: an accent and a timbre, such as `en-gb+f1`.
        words: what is said, without punctuation.
        pitch: 0 to 99.
        rate: words a minute.
        loudness: 0 to 200.

    Raises:
        InputError: no library, no such voice, or no sound.
    """
    speaker, samples_a_second = loaded()
    name = voice.encode()
    if speaker.espeak_SetVoiceByName(name):
        wanted = _Voice(languages=name)
        if speaker.espeak_SetVoiceByProperties(ctypes.byref(wanted)):
            raise InputError("espeak-ng", f"no voice {voice!r}", _VOICE)
    for parameter, value in ((_PITCH, pitch), (_RATE, rate), (_VOLUME, loudness)):
        speaker.espeak_SetParameter(parameter, value, 0)
    heard: list[np.ndarray] = []
    begins: list[tuple[int, float]] = []

    @_Callback
    def take(samples, count, events):
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events[number].type:
            if events[number].type == _WORD:
                begins.append((events[number].position - 1, events[number].milliseconds / 1000))
            number += 1
        return 0

    speaker.espeak_SetSynthCallback(take)
    text = words.encode()
    options = _UTF8 | _FINAL_PAUSE
    speaker.espeak_Synth(text, len(text) + 1, 0, _BY_CHARACTER, 0, options, None, None)
    sound = np.concatenate([np.zeros(0, np.int16), *heard])
    if not sound.any() or not begins:
        raise InputError(f"espeak-ng, voice {voice}", "no sound", "words that it can say")
    end = (np.flatnonzero(sound)[-1] + 1) / samples_a_second
    return _resampled(sound, samples_a_second), placed(words, begins, float(end))


def placed(words: str, begins: Sequence[tuple[int, float]], end: float) -> Words:
    """When each word is said, by what the library tells of their beginnings.

    That is not one event a word: some words begin together ("in the"), the event of a word may lie
    on the last letter of the one before it ("so much"), and another one may come as all ends.

    Args:
        words: what is said.
        begins: of each event the place in `words`, from 0, and the seconds.
        end: of the last word.
    """
    said = words.split()
    ends = np.cumsum([len(word) + 1 for word in said])  # of each word, a space included
    starts: dict[int, float] = {0: begins[0][1]}
    for place, seconds in begins[1:]:
        number = max(int(np.searchsorted(ends, place, side="right")), max(starts) + 1)
        if number < len(said):
            starts[number] = seconds
    # Words that begin together share the time as their letters do.
    letters = np.concatenate([[0], ends])
    known, last = sorted(starts), max(starts.values())
    times = [*(starts[number] for number in known), max(end, last)]
    edges = np.interp(letters, letters[[*known, -1]], times)
    return tuple(zip(said, edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "said.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(sound.itemsize)
            file.setframerate(rate)
            file.writeframes(sound.astype("<i2").tobytes())
        return media.read_audio(path)
