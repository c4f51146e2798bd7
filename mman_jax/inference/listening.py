"""Turns of a recording or a microphone, their words, and their predictions."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from mman_jax.data.readers import csv_tables
from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import parse_seconds
from mman_jax.features.speakers.speakers import Speakers
from mman_jax.features.speech import pauses
from mman_jax.features.speech.pauses import Spoken
from mman_jax.features.text import subtitles
from mman_jax.features.text.subtitles import Words
from mman_jax.features.words import whisper
from mman_jax.features.words.whisper import Recogniser
from mman_jax.files.whole import check_regular
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer

_COLUMNS = ["start", "end", "transcript"]
_WORDS = (".srt", ".vtt", ".csv")
_CHUNK = 1600  # samples, a tenth of a second


def answer(
    answerer: Answerer, extraction: Extraction, spoken: Iterable[Spoken], sink: TextIO
) -> list[tuple[float, float]]:
    """Predicts the utterances of one conversation in order; returns their starts and ends.

    The prediction of an interim utterance, marked as such, does not change the state.

    Args:
        answerer: the models of the run.
        extraction: feature extraction of the model; only speech and text are used.
        sink: receives a JSON line for each utterance, flushed.
    """
    state, times = answerer.begin(), []
    for turn in spoken:
        vectors = features(extraction, turn.samples, turn.words)
        after, reply = answerer.step(state, vectors, turn.speaker)
        lines.write(about(turn) | lines.fields(reply), sink)
        if not turn.interim:
            state = after
            times.append((turn.start, turn.end))
    return times


def about(turn: Spoken) -> dict[str, Any]:
    """Returns what is known about an utterance, in addition to its prediction, for JSON."""
    times = {"start": round(turn.start, 2), "end": round(turn.end, 2)}
    known = {"interim": turn.interim, "speaker": turn.speaker, "transcript": turn.words}
    return times | {name: value for name, value in known.items() if value}


def stream(
    chunks: Iterable[np.ndarray],
    words: Sequence[Words] = (),
    recogniser: Recogniser | None = None,
    pause: float = 0.5,
    longest: float = pauses.LONGEST,
    interim: float = math.inf,
) -> Iterator[Spoken]:
    """Yields the utterances of one conversation as they end, with their words.

    Args:
        chunks: the audio, [samples] float32 at 16 kHz.
        words: the known words of the recording.
        recogniser: recognises the words of each utterance; None: only `words` are known.
        pause: seconds without speech that end an utterance.
        longest: seconds after which an utterance is cut.
        interim: see `pauses.cut`.
    """
    lengths = {"pause": pause, "longest": longest, "interim": interim}
    for spoken in pauses.cut(chunks, pauses.detector(), **lengths):
        if recogniser:
            transcript = recogniser.transcribe(spoken.samples)
        else:
            transcript = words_of(words, spoken.start, spoken.end)
        yield dataclasses.replace(spoken, words=transcript)


def turns(
    path: pathlib.Path,
    words: Sequence[Words],
    recogniser: Recogniser | None = None,
    speakers: Speakers | None = None,
    pause: float = 0.5,
    longest: float = pauses.LONGEST,
    track: int = 1,
) -> tuple[list[Spoken], list[str]]:
    """Returns the turns of a recording between pauses, in order, and notices about them.

    Args:
        words: its known words.
        recogniser: recognises its words; None: only `words` are known.
        speakers: finds its speakers; None: they are unknown.
        track: number of the audio track, from 1.

    Raises:
        InputError: the recording is unreadable or has no speech, or a library is missing.
    """
    sounds = speakers.sounds(path, track) if speakers else {"": media.read_audio(path, track=track)}
    spoken: list[Spoken] = []
    recognised = []
    for channel, (name, samples) in enumerate(sounds.items(), 1):
        cut = list(pauses.cut(_pieces(samples), pauses.detector(), pause=pause, longest=longest))
        texts = [words_of(words, turn.start, turn.end) for turn in cut]
        if recogniser and cut:
            recognised.append(recogniser.recognise(samples, [(t.start, t.end) for t in cut]))
            texts = [" ".join(w.words for w in turn) for turn in recognised[-1].turns]
        spoken += [
            dataclasses.replace(turn, words=text, speaker=name, channel=channel if name else None)
            for turn, text in zip(cut, texts, strict=True)
        ]
    if not spoken:
        raise InputError(path, "no speech found", "a recording with speech")
    spoken.sort(key=lambda turn: turn.start)
    times = [(turn.start, turn.end) for turn in spoken]
    notices = [media.other_tracks(path, track), unheard(words, times)]
    if recogniser:
        notices.append(whisper.note(recognised))
    if speakers and "" in sounds:
        names = speakers.names(sounds, times)
        spoken = [dataclasses.replace(t, speaker=n) for t, n in zip(spoken, names, strict=True)]
        notices.append(speakers.notice)
    return spoken, [notice for notice in notices if notice]


def words_beside(path: pathlib.Path) -> pathlib.Path | None:
    """Returns the file of a recording's words in the same folder, or None."""
    for file in map(path.with_suffix, _WORDS):
        # A table may contain predictions instead.
        if file.is_file() and (file.suffix != ".csv" or csv_tables.header(file) == _COLUMNS):
            return file
    return None


def features(
    extraction: Extraction, samples: np.ndarray, transcript: str = ""
) -> dict[str, np.ndarray]:
    """Extracts speech and text features [D] float32 of [samples] at 16 kHz, and of its words."""
    vectors = {}
    if extraction.settings.speech:
        measured = extraction.settings.speech.of_sound(samples)
        vectors["speech"] = extraction.apply("speech", [measured])[0]
    if transcript and extraction.settings.text:
        measured = extraction.settings.text.of_words(transcript)
        vectors["text"] = extraction.apply("text", [measured])[0]
    return vectors


def words_of(words: Sequence[Words], start: float, end: float) -> str:
    """Returns the words whose midpoint lies in an utterance."""
    return " ".join(" ".join(w.words for w in words if _lies_in(w, start, end)).split())


def unheard(words: Sequence[Words], times: Sequence[tuple[float, float]]) -> str:
    """Returns a notice about subtitles or lines of words outside all utterances, or an empty text.

    Examples:
        >>> unheard([Words(0.0, 1.0, "well"), Words(1.0, 99.0, "yes")], [(0.2, 1.5), (2.0, 3.0)])
        '1 of 2 subtitles have their midpoint in no turn: their words are left out'
        >>> unheard([Words(0.0, 1.0, "well")], [(0.2, 1.5)])
        ''
    """
    count = sum(not any(_lies_in(w, *time) for time in times) for w in words)
    found = f"{count} of {len(words)} subtitles have their midpoint in no turn"
    return f"{found}: their words are left out" if count else ""


def _lies_in(words: Words, start: float, end: float) -> bool:
    return start <= (words.start + words.end) / 2 < end


def read_words(path: pathlib.Path) -> list[Words]:
    """Reads the words of a recording from subtitles (.srt, .vtt) or a CSV file.

    The columns of a CSV file are start, end (seconds) and transcript.
    """
    if path.suffix.lower() in (".srt", ".vtt"):
        return subtitles.read(path)
    check_regular(path, "a CSV file in UTF-8")
    columns, rows = csv_tables.rows(path)
    if columns != _COLUMNS:
        raise InputError(path, ",".join(columns), "a header line: " + ",".join(_COLUMNS))
    words = []
    for line, (first, last, spoken) in rows:
        place = f"{path}: line {line}"
        start, end = (parse_seconds(place, cell) for cell in (first, last))
        if start >= end:
            raise InputError(place, f"from {first!r} to {last!r}", "an end after the start")
        words.append(Words(start, end, spoken.strip()))
    return words


def recording(path: str, track: int = 1) -> Iterator[np.ndarray]:
    """Returns the audio of a recording in short pieces."""
    return _pieces(media.read_audio(path, track=track))


def _pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    return (samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK))


def microphone() -> Iterator[np.ndarray]:
    """Yields the audio of the default microphone until Ctrl-C."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the library lacks PortAudio
        expected = "pip install 'mman_jax[listen]', and PortAudio"
        raise InputError("microphone", f"cannot be used ({error})", expected) from error
    rate = media.SAMPLE_RATE
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32") as stream:
            while True:
                samples, _ = stream.read(_CHUNK)
                yield samples[:, 0].copy()
    except KeyboardInterrupt:
        return
    except sounddevice.PortAudioError as error:
        raise InputError("microphone", str(error), "a microphone") from error
