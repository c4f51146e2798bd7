"""Recognition of the words and speakers of a manifest's utterances."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from mman_jax.features import media
from mman_jax.features.manifest import Utterance
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speakers.speakers import UNKNOWN, Speakers
from mman_jax.features.text.subtitles import Words
from mman_jax.features.words import whisper
from mman_jax.features.words.whisper import Recogniser

Times = list[tuple[float, float]]


def words(
    utterances: Sequence[Utterance], recogniser: Recogniser
) -> tuple[list[Utterance], list[list[Words]], str]:
    """Recognises the words of utterances, with times in seconds into their clips.

    Returns:
        The utterances, with these words as transcripts; the words of each; and a notice.

    Raises:
        InputError: a clip cannot be read.
    """
    texts: list[list[Words]] = [[] for _ in utterances]
    parts = []
    for (path, channel, track), rows in _by_sound(utterances):
        samples = media.read_audio(path, channel=channel, track=track)
        times = _times(utterances, rows, len(samples))
        parts.append(recogniser.recognise(samples, times))
        for row, turn in zip(rows, parts[-1].turns, strict=True):
            texts[row] = turn
    filled = [
        dataclasses.replace(utterance, transcript=" ".join(word.words for word in text))
        for utterance, text in zip(utterances, texts, strict=True)
    ]
    return filled, texts, whisper.note(parts)


def speakers(utterances: Sequence[Utterance], method: Speakers) -> list[Utterance]:
    """Finds the speaker of each utterance in its clip; names start with the name of the clip.

    Raises:
        InputError: a clip cannot be read, or its speakers cannot be found.
    """
    found = list(utterances)
    for (path, _, track), rows in _by_sound(utterances):
        sounds = method.sounds(path, track)
        times = _times(utterances, rows, len(next(iter(sounds.values()))))
        for row, name in zip(rows, method.names(sounds, times), strict=True):
            speaker = f"{pathlib.Path(path).stem} {name or UNKNOWN}"
            found[row] = dataclasses.replace(found[row], speaker=speaker)
    return found


def _by_sound(
    utterances: Sequence[Utterance],
) -> Iterator[tuple[tuple[str, int | None, int], list[int]]]:
    """Yields each clip, channel and track, and the rows of its utterances by their starts."""
    rows: dict[tuple[str, int | None, int], list[int]] = {}
    for row, utterance in enumerate(utterances):
        rows.setdefault((utterance.path, utterance.channel, utterance.track or 1), []).append(row)
    for sound, members in rows.items():
        yield sound, sorted(members, key=lambda row: utterances[row].start or 0.0)


def _times(utterances: Sequence[Utterance], rows: Sequence[int], samples: int) -> Times:
    seconds = samples / SAMPLE_RATE
    chosen = [utterances[row] for row in rows]
    return [(u.start or 0.0, seconds if u.end is None else min(u.end, seconds)) for u in chosen]
