"""The turns of a recording: times, words, descriptions of voice and face, and predictions."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import description, media
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.speech import prosody
from mman_jax.features.speech.pauses import Spoken
from mman_jax.features.visual import windows
from mman_jax.inference import lines, listening
from mman_jax.inference.answerer import Answerer
from mman_jax.recording import shipped as shipped_model

_PEAKS = 1000  # of a waveform


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn of a recording."""

    start: float  # in seconds
    end: float
    words: str  # empty: unknown
    manner: list[str]  # phrases that compare voice and face with the other turns
    answer: dict[str, Any]  # the prediction for JSON: label, probabilities, attention; or empty
    label: str = ""  # the user's label; empty if there is none
    speaker: str = ""  # empty if unknown
    channel: int | None = None  # of the audio, from 1; None: the mean of all


class Turns(NamedTuple):
    """The turns of a recording."""

    turns: list[Turn]  # N, in order
    sounds: np.ndarray  # [N, D] float32, the features `prosody.NAMES` of each turn
    notes: list[str]  # sentences about words, speakers and missing measurements
    peaks: Sequence[int] = ()  # of the waveform to the last turn's end, 0 to 100; 0 between turns
    answerer: Answerer | None = None  # the model of the predictions


def describe(
    path: pathlib.Path,
    spoken: Sequence[Spoken],
    notices: Sequence[str] = (),
    answerer: Answerer | None = None,
    extraction: Extraction | None = None,
    shipped: bool = False,
) -> Turns:
    """Describes the turns of a recording, and predicts them if there is a model.

    Args:
        path: the recording.
        spoken: its turns, such as `listening.turns` finds.
        notices: notices about them.
        answerer: a trained model; without one, the turns have no predictions, unless they have
            words and `shipped` allows the model of `mman_jax.recording.shipped`.
        extraction: feature extraction of the model.

    Raises:
        InputError: the model reads nothing that the recording has.
    """
    notes = [f"{notice[0].upper()}{notice[1:]}." for notice in notices]
    times = [(round(turn.start, 2), round(turn.end, 2)) for turn in spoken]
    sounds = np.stack([prosody.statistics(turn.samples) for turn in spoken])
    names = [turn.speaker for turn in spoken]
    descriptions = description.describe_voices(sounds, names if any(names) else None)
    pictures = _has_pictures(path)
    if pictures:
        try:
            windows.opencv()
            measured = np.stack([_face(path, start, end) for start, end in times])
            faces = description.describe_faces(measured)
            pairs = zip(descriptions, faces, strict=True)
            descriptions = [[*sound, *face] for sound, face in pairs]
        except InputError as error:
            notes.append(f"Faces were not measured: {error}.")
    answers: list[dict[str, Any]] = [{} for _ in spoken]
    if shipped and not answerer and any(turn.words for turn in spoken):
        answerer, extraction = shipped_model.load() or (None, None)
        if answerer:
            notes.append(shipped_model.NOTE)
    if answerer and extraction:
        visual = pictures and extraction.settings.visual is not None
        if not (extraction.settings.speech or visual or any(turn.words for turn in spoken)):
            found = "words are missing, and the model reads no other available modality"
            raise InputError(path, found, "subtitles in the same folder, or a transcript")
        answers, unseen = _answers(path if visual else None, spoken, answerer, extraction)
        if unseen:
            notes.append(f"The video ends before the sound; turns without pictures: {unseen}.")
    turns = [
        Turn(*time, turn.words, manner, answer, speaker=turn.speaker, channel=turn.channel)
        for time, turn, manner, answer in zip(times, spoken, descriptions, answers, strict=True)
    ]
    return Turns(turns, sounds, notes, _peaks(spoken), answerer)


def _answers(
    pictures: pathlib.Path | None,
    spoken: Sequence[Spoken],
    answerer: Answerer,
    extraction: Extraction,
) -> tuple[list[dict[str, Any]], int]:
    """Returns a model's answers to the turns, and the number of turns without pictures.

    `pictures` is the recording, if the model reads its pictures.
    """
    state, unseen = answerer.begin(), 0
    answers: list[dict[str, Any]] = []
    for turn in spoken:
        features = listening.features(extraction, turn.samples, turn.words)
        if pictures:
            piece = Utterance("", "", str(pictures), turn.start, turn.end)
            try:
                measured = extraction.measure("visual", piece)
                features["visual"] = extraction.apply("visual", [measured])[0]
            except InputError:  # missing, because the video ends before the sound
                unseen += 1
        if not features:  # the model reads only words, and there are none
            answers.append({})
            continue
        state, answer = answerer.step(state, features, turn.speaker)
        answers.append(lines.fields(answer))
    return answers, unseen


def _peaks(spoken: Sequence[Spoken]) -> list[int]:
    """Returns the largest amplitude in each of equal parts of the time, as a percentage."""
    seconds = max(turn.end for turn in spoken)
    peaks = np.zeros(_PEAKS)
    for turn in spoken:
        times = turn.start + np.arange(len(turn.samples)) / media.SAMPLE_RATE
        parts = np.minimum((times / seconds * _PEAKS).astype(int), _PEAKS - 1)
        np.maximum.at(peaks, parts, np.abs(turn.samples))
    return (100 * peaks / max(peaks.max(), 1e-9)).round().astype(int).tolist()


def _face(path: pathlib.Path, start: float, end: float) -> np.ndarray:
    try:
        frames = media.read_frames(path, description.RATE, description.SIDE, start, end)
        return description.measure_face(frames)
    except InputError:  # the video ends before the sound
        return description.UNSEEN


def _has_pictures(path: pathlib.Path) -> bool:
    try:
        return len(media.read_frames(path, 1.0, 16, 0.0, 0.1)) > 0
    except InputError:
        return False
