"""The turns of a recording: when, what was said, how it sounded and looked, what is answered."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.speech import manner
from mman_jax.features.text import subtitles
from mman_jax.features.visual import manner as looks
from mman_jax.features.visual import windows
from mman_jax.inference import answering, listening
from mman_jax.inference.answerer import Answerer


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn.

    Attributes:
        start: seconds.
        end: seconds.
        words: what was said, as far as it is known.
        manner: how it sounded and looked next to the others, in words.
        answer: as JSON holds it: label, probabilities, attention; empty where nothing answers.
        label: what somebody has given it; empty: nothing.
    """

    start: float
    end: float
    words: str
    manner: list[str]
    answer: dict[str, Any]
    label: str = ""


class Found(NamedTuple):
    """The turns of a recording.

    Attributes:
        turns: N, in order.
        sounds: [N, 88] float32, what eGeMAPS measures of each.
        notes: what was not measured, and why.
    """

    turns: list[Turn]
    sounds: np.ndarray
    notes: list[str]


def find(
    path: pathlib.Path,
    words: Sequence[subtitles.Words],
    answerer: Answerer | None = None,
    made: Extraction | None = None,
) -> Found:
    """The turns, in order.

    Args:
        path: the recording, sound or video.
        words: that are spoken in it.
        answerer: of a run, or None.
        made: the extraction that travels with its model.

    Raises:
        InputError: no recording, no speech in it, or a library is missing.
    """
    spoken = listening.turns(path, words)
    times = [(round(turn.start, 2), round(turn.end, 2)) for turn, _ in spoken]
    sounds = np.stack([manner.measure(turn.samples) for turn, _ in spoken])
    told, notes = manner.compare(sounds), []
    if unheard := listening.unheard(words, [(turn.start, turn.end) for turn, _ in spoken]):
        notes.append(f"{unheard}.")
    pictures = _has_pictures(path)
    if pictures:
        try:
            windows.opencv()
            seen = looks.compare(np.stack([_face(path, *time) for time in times]))
            told = [[*sound, *look] for sound, look in zip(told, seen, strict=True)]
        except InputError as error:
            notes.append(f"Faces were not looked at: {error}.")
    answers: list[dict[str, Any]] = [{} for _ in spoken]
    if answerer and made:
        visual = pictures and made.settings.visual is not None
        if not (made.settings.speech or visual or any(said for _, said in spoken)):
            found = "words are missing, and the model reads nothing else that is there"
            raise InputError(path, found, "subtitles in the same folder, or a transcript")
        answers, unseen = _answers(path if visual else None, spoken, answerer, made)
        if unseen:
            notes.append(f"Of {unseen} turns the model had no picture: it ends before the sound.")
    several = zip(times, spoken, told, answers, strict=True)
    turns = [Turn(*time, said, own, answer) for time, (_, said), own, answer in several]
    return Found(turns, sounds, notes)


def _answers(
    path: pathlib.Path | None,
    spoken: Sequence[tuple[Any, str]],
    answerer: Answerer,
    made: Extraction,
) -> tuple[list[dict[str, Any]], int]:
    """What a model says to each turn, and of how many it saw nothing; `path` where it is to see
    pictures, too."""
    state, answers, unseen = answerer.begin(), [], 0
    for turn, words in spoken:
        features = listening.features(made, turn.samples, words)
        if path:
            piece = Utterance("", "", str(path), turn.start, turn.end)
            try:
                features["visual"] = made.apply("visual", [made.measure("visual", piece)])[0]
            except InputError:  # pictures that end before the sound does: missing
                unseen += 1
        state, answer = answerer.step(state, features)
        answers.append(answering.fields(answer))
    return answers, unseen


def _face(path: pathlib.Path, start: float, end: float) -> np.ndarray:
    try:
        return looks.measure(media.read_frames(path, looks.RATE, looks.SIDE, start, end))
    except InputError:  # pictures that end before the sound does
        return looks.UNSEEN


def _has_pictures(path: pathlib.Path) -> bool:
    try:
        return len(media.read_frames(path, 1.0, 16, 0.0, 0.1)) > 0
    except InputError:
        return False
