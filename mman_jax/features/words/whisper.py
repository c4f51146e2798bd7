"""Words of recordings with their times, recognised by Whisper (Radford et al. 2022)."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.text.subtitles import Words

PREFIX = "whisper:"

LEAST = 0.5
"""Probability below which a word or a language is unknown."""

_FILES = ("model.bin", "config.json", "tokenizer.json")
_EXPECTED = f"a folder of Whisper for CTranslate2 ({', '.join(_FILES)})"
_LONGEST = 28.0  # maximum seconds of several turns that are recognised together; Whisper reads 30
_NEAR = 0.5  # seconds between a turn and a word that belongs to it
_SHORTEST = 0.02  # seconds of a word
_REPEATED = 2.4  # compression ratio above which a text is a repetition of itself


class Recognised(NamedTuple):
    """The words of a recording.

    Attributes:
        turns: the words of each turn.
        masked: number of words that are left out because of a low probability.
        language: code of the language; if empty, it is unknown, and there are no words.
    """

    turns: list[list[Words]]
    masked: int
    language: str


class Recogniser:
    """Whisper, run by faster-whisper."""

    def __init__(self, name: str, language: str = "", download: bool = False):
        """Loads the network.

        Args:
            name: `whisper:` and a folder of the network for CTranslate2, or a name such as `base`
                in the user's cache.
            language: code of the spoken language; empty: it is detected in each recording.
            download: whether a network that is not in the cache may be downloaded.

        Raises:
            InputError: the library or the network is missing, or the language is unknown.
        """
        place = name.removeprefix(PREFIX)
        library = require("faster_whisper", "words", name, "faster-whisper")
        folder = pathlib.Path(place).expanduser()
        if folder.is_dir():
            # Without its tokens, faster-whisper would download those of another network.
            missing = [file for file in _FILES if not (folder / file).is_file()]
            if missing:
                raise InputError(f"words={name}", f"no {missing[0]} in the folder", _EXPECTED)
            place = str(folder)
        try:
            self.model: Any = library.WhisperModel(
                place,
                compute_type="auto",
                cpu_threads=os.cpu_count() or 1,
                local_files_only=not download,
            )
        except (OSError, RuntimeError, ValueError) as error:
            expected = _EXPECTED if download else f"{_EXPECTED}, or a name that may be downloaded"
            found = f"cannot be loaded ({str(error).partition(chr(10))[0]:.150})"
            raise InputError(f"words={name}", found, expected) from error
        self.language = language or ("" if self.model.model.is_multilingual else "en")
        if self.language and self.language not in self.model.supported_languages:
            expected = "one of " + ", ".join(sorted(self.model.supported_languages))
            raise InputError(f"language={language}", "not a language of the network", expected)

    def recognise(self, samples: np.ndarray, times: Sequence[tuple[float, float]]) -> Recognised:
        """Recognises the words of the turns of a recording.

        Args:
            samples: [samples] float32 at `SAMPLE_RATE`.
            times: start and end of each turn, in seconds and ascending.
        """
        turns: list[list[Words]] = [[] for _ in times]
        language, masked = self._language(samples, times), 0
        if not language:
            return Recognised(turns, 0, "")
        ends = np.array(times)
        for start, end in _spans(times):
            for first, last, word, known in self._words(_cut(samples, start, end), language):
                first, last = first + start, last + start
                middle = (first + last) / 2
                # Times are off by some tenths of a second: words between turns belong to the nearer
                # turn.
                away = np.maximum(0, np.maximum(ends[:, 0] - middle, middle - ends[:, 1]))
                nearest = int(away.argmin())
                if away[nearest] > _NEAR or not word:
                    continue
                masked += not known
                if known:
                    turns[nearest].append(_within(first, last, word, *times[nearest]))
        return Recognised(turns, masked, language)

    def transcribe(self, samples: np.ndarray) -> str:
        """Returns the known words of one utterance, [samples] float32 at `SAMPLE_RATE`."""
        (words,) = self.recognise(samples, [(0.0, len(samples) / SAMPLE_RATE)]).turns
        return " ".join(word.words for word in words)

    def _language(self, samples: np.ndarray, times: Sequence[tuple[float, float]]) -> str:
        """Returns the language of the first half minute of speech; empty if unknown."""
        if self.language or not times:
            return self.language
        spoken = np.concatenate([_cut(samples, *time) for time in times[:30]])
        language, probability, _ = self.model.detect_language(spoken[: 30 * SAMPLE_RATE])
        return language if probability >= LEAST else ""

    def _words(
        self, samples: np.ndarray, language: str
    ) -> Iterator[tuple[float, float, str, bool]]:
        """Yields start, end and text of each word, and whether it is probable enough."""
        # At temperature 0 nothing is random; texts that only repeat themselves are masked instead.
        segments, _ = self.model.transcribe(
            samples,
            language=language,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        for segment in segments:
            for word in segment.words or ():
                known = word.probability >= LEAST and segment.compression_ratio <= _REPEATED
                yield word.start, word.end, " ".join(word.word.split()), known


def note(recognised: Sequence[Recognised]) -> str:
    """Returns a notice about the words of recordings, for a page or a terminal.

    Examples:
        >>> note([Recognised([[Words(0.0, 1.0, "well")], []], 1, "en")])
        'words are recognised (language en): 1 of 2 have a probability below 0.5 and are left out'
        >>> note([Recognised([[]], 0, "")])
        'words are unknown: no language has a probability of 0.5 or more'
    """
    languages = sorted({part.language for part in recognised} - {""})
    if not languages:
        return f"words are unknown: no language has a probability of {LEAST} or more"
    masked = sum(part.masked for part in recognised)
    total = masked + sum(len(words) for part in recognised for words in part.turns)
    name = f"words are recognised (language {', '.join(languages)})"
    return f"{name}: {masked} of {total} have a probability below {LEAST} and are left out"


def _spans(times: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Joins adjacent turns to spans that are short enough to be recognised at once."""
    spans: list[tuple[float, float]] = []
    for start, end in times:
        if spans and end - spans[-1][0] <= _LONGEST:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _cut(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    return samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def _within(first: float, last: float, word: str, start: float, end: float) -> Words:
    """Returns a word whose times lie in its turn."""
    first = min(max(first, start), max(start, end - _SHORTEST))
    return Words(round(first, 3), round(min(max(last, first + _SHORTEST), end), 3), word)
