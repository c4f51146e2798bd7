"""What labels of some turns teach about the others of the same recording."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.evaluation import leave_one_out
from mman_jax.features import manifest
from mman_jax.recording.turns import Found, Turn

_FEWEST = 4  # labelled turns
_SLACK = 0.05  # seconds by which times may be rounded


class Learnt(NamedTuple):
    """How right answers were to labelled turns, each by what all the others teach.

    Attributes:
        right: turns whose label was the most probable one.
        labelled: of so many.
        interval: 95 %, of the share.
        most_frequent: the label that most of the turns have.
        most: so many.
        chance: turns that are right on average where the labels are shuffled.
    """

    right: int
    labelled: int
    interval: tuple[float, float]
    most_frequent: str
    most: int
    chance: float


def read(path: pathlib.Path, recording: pathlib.Path) -> list[manifest.Utterance]:
    """The labelled rows of a recording.

    Args:
        path: a manifest, as the page saves it.
        recording: whose rows count.

    Raises:
        InputError: the manifest, no row of the recording, or too few labels.
    """
    rows = [u for u in manifest.read(path) if pathlib.Path(u.path).name == recording.name]
    if not rows:
        raise InputError(path, f"no row of {recording.name}", "what its page has saved")
    labelled = [row for row in rows if row.label]
    _check_enough(path, [row.label for row in labelled])
    return labelled


def given(
    path: pathlib.Path, rows: Sequence[manifest.Utterance], turns: Sequence[Turn]
) -> list[str]:
    """The label of each turn; empty: none.

    Args:
        path: the manifest, for messages.
        rows: see `read`.
        turns: of the recording.

    Raises:
        InputError: a label of no turn, two of one, or too few turns that have one.
    """
    labels = [""] * len(turns)
    for row in rows:
        index = _turn(row, turns)
        if index is None:
            found = f"from {row.start} to {row.end} s there is no turn"
            raise InputError(f"{path}: {row.name}", found, "what the page of this recording saved")
        if labels[index] not in ("", row.label):
            found = f"label {row.label!r} of a turn that has {labels[index]!r} above"
            raise InputError(f"{path}: {row.name}", found, "one label for a turn")
        labels[index] = row.label
    _check_enough(path, labels)  # two rows may have been of one turn
    return labels


def _check_enough(path: pathlib.Path, labels: Sequence[str]) -> None:
    known = collections.Counter(filter(None, labels))
    if len(known) < 2 or known.total() < _FEWEST:
        found = ", ".join(f"{name} {count}" for name, count in known.items()) or "no label"
        expected = f"{_FEWEST} labelled turns or more, of two labels or more"
        raise InputError(path, found, expected)


def learn(found: Found, labels: Sequence[str]) -> tuple[Found, Learnt]:
    """Answers every turn by its sound: one with a label by what the other labels teach.

    Args:
        found: the turns.
        labels: see `given`.
    """
    classes = sorted(set(filter(None, labels)))
    rows = np.array([i for i, label in enumerate(labels) if label])
    numbers = np.array([classes.index(labels[i]) for i in rows])
    taught = leave_one_out.fit(found.sounds[rows], numbers, len(classes))
    probabilities = taught.probabilities(found.sounds)
    probabilities[rows] = leave_one_out.left_out(found.sounds[rows], numbers, len(classes))
    turns = []
    for turn, label, own in zip(found.turns, labels, probabilities, strict=True):
        answer = {
            "label": classes[int(own.argmax())],
            "probabilities": dict(zip(classes, own.round(6).tolist(), strict=True)),
        }
        turns.append(dataclasses.replace(turn, answer=answer, label=label))
    right = int((probabilities[rows].argmax(1) == numbers).sum())
    name, most = collections.Counter(labels[i] for i in rows).most_common(1)[0]
    interval = leave_one_out.interval(right, len(rows))
    chance = leave_one_out.by_chance(found.sounds[rows], numbers, len(classes))
    return found._replace(turns=turns), Learnt(right, len(rows), interval, name, most, chance)


def _turn(row: manifest.Utterance, turns: Sequence[Turn]) -> int | None:
    if row.start is None or row.end is None:
        return None
    for index, turn in enumerate(turns):
        if max(abs(turn.start - row.start), abs(turn.end - row.end)) <= _SLACK:
            return index
    return None
