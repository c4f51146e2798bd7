"""Sound to emotions, utterance by utterance, with the words where they are known."""

import csv
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import extraction, media
from mman_jax.features.extraction import Extraction
from mman_jax.features.speech import pauses
from mman_jax.features.text import subtitles
from mman_jax.features.text.subtitles import Words
from mman_jax.files.regular import check_regular
from mman_jax.inference import answering
from mman_jax.inference.answerer import Answerer

_COLUMNS = ["start", "end", "transcript"]
_WORDS = (".srt", ".vtt", ".csv")
_CHUNK = 1600  # samples, a tenth of a second


def answer(
    answerer: Answerer,
    made: Extraction,
    chunks: Iterable[np.ndarray],
    words: Sequence[Words],
    sink: TextIO,
    pause: float = 0.5,
    longest: float = 20.0,
) -> list[tuple[float, float]]:
    """Answers each utterance as it ends, all as one conversation; returns their starts and ends.

    Args:
        answerer: of the run.
        made: the extraction that travels with the model; of it speech and text are used.
        chunks: the sound, [samples] float32 at 16 kHz.
        words: of the recording, as far as they are known.
        sink: gets a JSON line for each, flushed.
        pause: seconds without speech that end an utterance.
        longest: seconds after which one is cut.

    Raises:
        InputError: a library is missing, or nobody reads any more.
    """
    state, times = answerer.begin(), []
    for utterance in pauses.cut(chunks, pauses.detector(), pause=pause, longest=longest):
        said = words_of(words, utterance.start, utterance.end)
        state, found = answerer.step(state, features(made, utterance.samples, said))
        when = {"start": round(utterance.start, 2), "end": round(utterance.end, 2)}
        answering.tell(when | answering.fields(found), sink)
        times.append((utterance.start, utterance.end))
    return times


def turns(path: pathlib.Path, words: Sequence[Words]) -> list[tuple[pauses.Spoken, str]]:
    """The turns of a recording as pauses part them, in order, and what is said in each.

    Raises:
        InputError: no recording, no speech in it, or a library is missing.
    """
    spoken = list(pauses.cut(recording(str(path)), pauses.detector()))
    if not spoken:
        raise InputError(path, "no speech found", "a recording in which somebody speaks")
    return [(t, " ".join(words_of(words, t.start, t.end).split())) for t in spoken]


def words_beside(path: pathlib.Path) -> pathlib.Path | None:
    """The file of a recording's words that lies beside it, if one does."""
    beside = [path.with_suffix(ending) for ending in _WORDS]
    return next((found for found in beside if found.is_file() and _has_words(found)), None)


def _has_words(path: pathlib.Path) -> bool:
    """Whether a table is one of words; beside a recording there may be answers, too."""
    if path.suffix != ".csv":
        return True
    with path.open("rb") as file:
        head = file.readline(100).decode("utf-8", "replace").removeprefix("\ufeff")
    return [cell.strip() for cell in head.split(",")] == _COLUMNS


def features(made: Extraction, samples: np.ndarray, said: str = "") -> dict[str, np.ndarray]:
    """The features [D] float32 of one utterance, by modality, as far as sound and words give them.

    Args:
        made: the extraction that travels with the model; of it speech and text are used.
        samples: [samples] float32 at 16 kHz.
        said: the words; empty where they are not known.
    """
    found = {}
    if made.settings.speech:
        measured = extraction.of_sound(made.settings, samples)
        found["speech"] = made.apply("speech", [measured])[0]
    if said and made.settings.text:
        found["text"] = made.apply("text", [extraction.of_words(made.settings, said)])[0]
    return found


def words_of(words: Sequence[Words], start: float, end: float) -> str:
    """The words whose middle lies in an utterance."""
    return " ".join(w.words for w in words if _lies_in(w, start, end))


def unheard(words: Sequence[Words], times: Sequence[tuple[float, float]]) -> str:
    """Tells of the subtitles, or lines of words, that `words_of` gives to none of some utterances.

    Examples:
        >>> unheard([Words(0.0, 1.0, "well"), Words(1.0, 99.0, "yes")], [(0.2, 1.5), (2.0, 3.0)])
        '1 of 2 subtitles lie in no turn, by their middle: their words are left out'
        >>> unheard([Words(0.0, 1.0, "well")], [(0.2, 1.5)])
        ''
    """
    count = sum(not any(_lies_in(w, *time) for time in times) for w in words)
    several = f"{count} of {len(words)} subtitles"
    return f"{several} lie in no turn, by their middle: their words are left out" if count else ""


def _lies_in(words: Words, start: float, end: float) -> bool:
    return start <= (words.start + words.end) / 2 < end


def read_words(path: pathlib.Path) -> list[Words]:
    """The words of a recording: subtitles (.srt, .vtt), or a CSV file of start, end, transcript.

    Raises:
        InputError: the file and the line that cannot be used.
    """
    if path.suffix.lower() in (".srt", ".vtt"):
        return subtitles.read(path)
    check_regular(path, "a CSV file in UTF-8")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            rows = [(lines.line_num, row) for row in lines if row]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be read ({reason})", "a CSV file in UTF-8") from error
    if not rows or [cell.strip() for cell in rows[0][1]] != _COLUMNS:
        found = ",".join(rows[0][1]) if rows else "an empty file"
        raise InputError(path, found, "a header line: " + ",".join(_COLUMNS))
    found = []
    for number, row in rows[1:]:
        place = f"{path}: line {number}"
        if len(row) != len(_COLUMNS):
            raise InputError(place, f"{len(row)} cells", f"{len(_COLUMNS)}")
        try:
            start, end = float(row[0]), float(row[1])
        except ValueError:
            start = end = math.nan
        if not 0 <= start < end < math.inf:
            raise InputError(
                place, f"from {row[0]!r} to {row[1]!r}", "seconds, an end after a start"
            )
        found.append(Words(start, end, row[2].strip()))
    return found


def recording(path: str) -> Iterator[np.ndarray]:
    """The sound of a clip in short pieces."""
    samples = media.read_audio(path)
    return (samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK))


def microphone() -> Iterator[np.ndarray]:
    """The default microphone's sound, until Ctrl-C.

    Raises:
        InputError: no library, or no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the library lacks PortAudio
        expected = "pip install 'mman_jax[listen]', and PortAudio"
        raise InputError("microphone", f"cannot be used ({error})", expected) from error
    how = {"samplerate": media.SAMPLE_RATE, "channels": 1, "dtype": "float32"}
    try:
        with sounddevice.InputStream(**how) as stream:
            while True:
                samples, _ = stream.read(_CHUNK)
                yield samples[:, 0].copy()
    except KeyboardInterrupt:
        return
    except sounddevice.PortAudioError as error:
        raise InputError("microphone", str(error), "a microphone") from error
