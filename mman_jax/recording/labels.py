"""Labels of some turns of a recording, and a classifier trained on them for all turns."""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.evaluation import leave_one_out
from mman_jax.features import manifest
from mman_jax.recording.turns import Turn, Turns

_FEWEST = 4  # labelled turns
_SLACK = 0.05  # seconds by which times may be rounded


class LeaveOneOut(NamedTuple):
    """Scores on the labelled turns, each predicted by a classifier trained on the others."""

    right: int  # turns whose most probable class is their label
    labelled: int
    interval: tuple[float, float]  # 95 % interval of the accuracy
    most_frequent: str  # label
    most: int  # turns with this label
    chance: float  # turns that are right on average if the labels are shuffled
    single: int  # labels that occur once


def read(path: pathlib.Path, recording: pathlib.Path) -> list[manifest.Utterance]:
    """Reads the labelled rows of a recording from a manifest that its page saved."""
    rows = [u for u in manifest.read(path) if pathlib.Path(u.path).name == recording.name]
    if not rows:
        raise InputError(path, f"no row of {recording.name}", "the manifest that its page saved")
    labelled = [row for row in rows if row.label]
    _check_enough(path, [row.label for row in labelled])
    return labelled


def match(
    path: pathlib.Path, rows: Sequence[manifest.Utterance], turns: Sequence[Turn]
) -> list[str]:
    """Returns the label that a manifest's rows (see `read`) give each turn; empty without one.

    A label without a turn, two labels of a turn, or too few labelled turns raise an InputError.
    """
    labels = [""] * len(turns)
    for row in rows:
        start, end = (math.inf if time is None else time for time in (row.start, row.end))
        near = (max(abs(t.start - start), abs(t.end - end)) <= _SLACK for t in turns)
        index = next((i for i, found in enumerate(near) if found), None)
        if index is None:
            found = f"from {row.start} to {row.end} s there is no turn"
            expected = "the manifest that its page saved, with the turns as they were found"
            raise InputError(f"{path}: {row.name}", found, expected)
        if labels[index] not in ("", row.label):
            found = f"label {row.label!r} of a turn that already has {labels[index]!r}"
            raise InputError(f"{path}: {row.name}", found, "one label for a turn")
        labels[index] = row.label
    _check_enough(path, labels)  # two rows may be of one turn
    return labels


def _check_enough(path: pathlib.Path, labels: Sequence[str]) -> None:
    known = collections.Counter(filter(None, labels))
    if len(known) < 2 or known.total() < _FEWEST:
        found = ", ".join(f"{name} {count}" for name, count in known.items()) or "no label"
        expected = f"{_FEWEST} labelled turns or more, of two labels or more"
        raise InputError(path, found, expected)


def learn(turns: Turns, labels: Sequence[str]) -> tuple[Turns, LeaveOneOut]:
    """Predicts every turn from its audio; labelled turns by classifiers trained without them."""
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
