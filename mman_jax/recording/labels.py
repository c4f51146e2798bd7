"""Turns that the page of a recording saved, and a classifier trained on their labels."""

import collections
import dataclasses
import json
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import ParseError

import numpy as np

from mman_jax.errors import InputError, reading
from mman_jax.evaluation import leave_one_out
from mman_jax.features import manifest, media
from mman_jax.features.speech.pauses import FRAME, Spoken
from mman_jax.features.text import subtitles
from mman_jax.files.whole import check_regular
from mman_jax.recording.turns import Turn, Turns

_FEWEST = 4  # labelled turns
_SLACK = 0.05  # seconds by which times may be rounded
_UNKNOWN = "unknown"  # the entry of a manifest for an unknown speaker
_LABELLED = re.compile(r"\s*\(([^()]+)\)$")


class LeaveOneOut(NamedTuple):
    """Scores on the labelled turns, each predicted by a classifier trained on the others."""

    right: int  # turns whose most probable class is their label
    labelled: int
    interval: tuple[float, float]  # 95 % interval of the accuracy
    most_frequent: str  # label
    most: int  # turns with this label
    chance: float  # mean number of right turns if the labels are shuffled
    single: int  # labels that occur once


def read(path: pathlib.Path, recording: pathlib.Path) -> list[Turn]:
    """Reads the turns of a recording from a file that its page saved.

    A manifest (CSV) and JSON contain all turns. Subtitles (.srt, .vtt) contain those with words or
    a label, which stands in parentheses at the end. An ELAN document (.eaf) contains those with an
    annotation in a tier `words`, `label` or `prediction`; a speaker may follow in the tier's name.

    Returns:
        The turns, sorted by start.

    Raises:
        InputError: the file is unreadable or of another recording, or has too few labels.
    """
    readers = {".json": _json, ".srt": _subtitles, ".vtt": _subtitles, ".eaf": _elan}
    suffix = path.suffix.lower()
    turns = readers[suffix](path) if suffix in readers else _manifest(path, recording)
    _check_enough(path, [turn.label for turn in turns])
    return sorted(turns, key=lambda turn: turn.start)


def _manifest(path: pathlib.Path, recording: pathlib.Path) -> list[Turn]:
    rows = [u for u in manifest.read(path) if pathlib.Path(u.path).name == recording.name]
    if not rows:
        raise InputError(path, f"no row of {recording.name}", "the manifest that its page saved")
    return [
        _turn(f"{path}: {u.name}", u.start, u.end, u.transcript, u.label, u.speaker, u.channel)
        for u in rows
    ]


def _json(path: pathlib.Path) -> list[Turn]:
    expected = "the JSON file that the page of the recording saved"
    check_regular(path, expected)
    names = ("start", "end", "words", "label", "speaker", "channel")
    with reading(path, expected, (OSError, ValueError, TypeError, KeyError, AttributeError)):
        rows = [[row.get(n) for n in names] for row in json.loads(path.read_bytes())["turns"]]
    return [_turn(f"{path}: turn {i}", *row) for i, row in enumerate(rows, 1)]


def _subtitles(path: pathlib.Path) -> list[Turn]:
    turns = []
    for start, end, text in subtitles.read(path):
        match = _LABELLED.search(text)
        words, label = (text[: match.start()], match[1]) if match else (text, "")
        turns.append(Turn(start, end, words, [], {}, label))
    return turns


def _elan(path: pathlib.Path) -> list[Turn]:
    expected = "an ELAN document (.eaf) with a tier `label`, or `label SPEAKER` for each speaker"
    check_regular(path, expected)
    with reading(path, expected, (OSError, ValueError, TypeError, KeyError, ParseError)):
        root = ElementTree.fromstring(path.read_bytes())
        slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
        turns: dict[tuple[float, float, str], dict[str, str]] = collections.defaultdict(dict)
        for tier in root.iter("TIER"):
            kind, _, speaker = tier.get("TIER_ID", "").partition(" ")
            if kind in ("words", "label", "prediction"):
                for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
                    start, end = (
                        int(slots[annotation.attrib[f"TIME_SLOT_REF{i}"]] or "") / 1000
                        for i in (1, 2)
                    )
                    turns[start, end, speaker][kind] = annotation.findtext("ANNOTATION_VALUE") or ""
    return [
        _turn(str(path), start, end, kinds.get("words"), kinds.get("label"), speaker, None)
        for (start, end, speaker), kinds in sorted(turns.items())
    ]


def _turn(
    place: str, start: Any, end: Any, words: Any, label: Any, speaker: Any, channel: Any
) -> Turn:
    """Returns a turn of a file after checking its fields, which may be missing (None)."""
    times = [time for time in (start, end) if isinstance(time, int | float) and time >= 0]
    if len(times) < 2 or not start < end < math.inf:
        found = f"start {start!r} and end {end!r}"
        raise InputError(place, found, "seconds from the beginning, the end after the start")
    texts = (words, label, None if speaker == _UNKNOWN else speaker)
    words, label, speaker = (str(text or "") for text in texts)
    if not isinstance(channel, int | None):
        raise InputError(place, f"channel {channel!r}", "the number of an audio channel")
    return Turn(float(start), float(end), words, [], {}, label, speaker, channel)


def cut(path: pathlib.Path, turns: Sequence[Turn], track: int = 1) -> list[Spoken]:
    """Returns the audio of a recording's turns (see `read`).

    Raises:
        InputError: the recording is unreadable, or ends before a turn does.
    """
    channels = {turn.channel for turn in turns}
    sounds = {c: media.read_audio(path, channel=c, track=track) for c in channels}
    spoken = []
    for turn in turns:
        samples = sounds[turn.channel]
        first, last = (round(time * media.SAMPLE_RATE) for time in (turn.start, turn.end))
        piece = samples[first:last]
        if last > len(samples) + _SLACK * media.SAMPLE_RATE or len(piece) < FRAME:
            seconds = len(samples) / media.SAMPLE_RATE
            found = f"a turn from {turn.start:g} to {turn.end:g} s"
            expected = f"turns of {FRAME} samples or more, within its {seconds:.2f} s"
            raise InputError(path, found, expected)
        fields = (turn.words, turn.speaker, turn.channel)
        spoken.append(Spoken(turn.start, turn.end, piece, *fields))
    return spoken


def _check_enough(path: pathlib.Path, labels: Sequence[str]) -> None:
    known = collections.Counter(filter(None, labels))
    if len(known) < 2 or known.total() < _FEWEST:
        found = ", ".join(f"{name} {count}" for name, count in known.items()) or "no label"
        expected = f"{_FEWEST} labelled turns or more, of two labels or more"
        raise InputError(path, found, expected)


def learn(turns: Turns, labels: Sequence[str]) -> tuple[Turns, LeaveOneOut]:
    """Predicts every turn from its audio; labelled turns by classifiers trained without them.

    Args:
        turns: N turns.
        labels: the label of each turn; empty for turns that have none.
    """
    classes = sorted(set(filter(None, labels)))
    rows = np.array([i for i, label in enumerate(labels) if label])
    numbers = np.array([classes.index(labels[i]) for i in rows])
    sounds, count = turns.sounds[rows], len(classes)
    probabilities = leave_one_out.fit(sounds, numbers, count).probabilities(turns.sounds)
    probabilities[rows] = leave_one_out.left_out(sounds, numbers, count)
    predicted = []
    for turn, label, values in zip(turns.turns, labels, probabilities, strict=True):
        answer = {
            "label": classes[int(values.argmax())],
            "probabilities": dict(zip(classes, values.round(6).tolist(), strict=True)),
        }
        predicted.append(dataclasses.replace(turn, answer=answer, label=label))
    right = int((probabilities[rows].argmax(1) == numbers).sum())
    counts = collections.Counter(labels[i] for i in rows)
    name, most = counts.most_common(1)[0]
    interval = leave_one_out.interval(right, len(rows))
    chance = leave_one_out.by_chance(sounds, numbers, count)
    single = list(counts.values()).count(1)
    scores = LeaveOneOut(right, len(rows), interval, name, most, chance, single)
    return turns._replace(turns=predicted), scores
