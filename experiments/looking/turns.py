"""The turns of a recording: when, what was said, how it sounded, and what a model answers."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.speech import manner, pauses
from mman_jax.features.text import subtitles
from mman_jax.inference import answering, listening
from mman_jax.inference.answerer import Answerer

_ENDINGS = (".srt", ".vtt", ".csv")


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn.

    Attributes:
        start: seconds.
        end: seconds.
        words: what was said, as far as it is known.
        manner: how it sounded next to the others, in words.
        answer: of a model, as JSON holds it: label, probabilities, attention; empty without one.
    """

    start: float
    end: float
    words: str
    manner: list[str]
    answer: dict[str, Any]


def words_beside(path: pathlib.Path) -> pathlib.Path | None:
    """The file of a recording's words that lies beside it, if one does."""
    beside = [path.with_suffix(ending) for ending in _ENDINGS]
    return next((found for found in beside if found.is_file()), None)


def find(
    path: pathlib.Path,
    words: Sequence[subtitles.Words],
    answerer: Answerer | None = None,
    made: Extraction | None = None,
) -> list[Turn]:
    """The turns, in order.

    Args:
        path: the recording, sound or video.
        words: that are spoken in it.
        answerer: of a run, or None.
        made: the extraction that travels with its model.

    Raises:
        InputError: no recording, no speech in it, or a library is missing.
    """
    spoken = list(pauses.cut(listening.recording(str(path)), pauses.detector()))
    if not spoken:
        raise InputError(path, "no speech found", "a recording in which somebody speaks")
    sounds = manner.compare(np.stack([manner.measure(turn.samples) for turn in spoken]))
    said = [" ".join(listening.words_of(words, t.start, t.end).split()) for t in spoken]
    answers: list[dict[str, Any]] = [{} for _ in spoken]
    if answerer and made:
        answers = _answers(path, spoken, said, answerer, made)
    times = [(round(turn.start, 2), round(turn.end, 2)) for turn in spoken]
    several = zip(times, said, sounds, answers, strict=True)
    return [Turn(*time, *rest) for time, *rest in several]


def _answers(
    path: pathlib.Path,
    spoken: Sequence[pauses.Spoken],
    said: Sequence[str],
    answerer: Answerer,
    made: Extraction,
) -> list[dict[str, Any]]:
    state, answers = answerer.begin(), []
    pictures = made.settings.visual is not None and _has_pictures(path)
    for turn, words in zip(spoken, said, strict=True):
        features = listening.features(made, turn.samples, words)
        if pictures:
            piece = Utterance("", "", str(path), turn.start, turn.end)
            features["visual"] = made.apply("visual", [made.measure("visual", piece)])[0]
        state, answer = answerer.step(state, features)
        answers.append(answering.fields(answer))
    return answers


def _has_pictures(path: pathlib.Path) -> bool:
    try:
        return len(media.read_frames(path, 1.0, 16, 0.0, 0.1)) > 0
    except InputError:
        return False
