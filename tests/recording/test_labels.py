"""Labels of a recording's turns, and a classifier that learns from them."""

import dataclasses
import pathlib

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.recording import labels as labelling
from mman_jax.recording import page
from mman_jax.recording.turns import Turn, Turns
from tests.features import clips

TURNS = [Turn(float(i), i + 0.5, f"word {i}", [], {}) for i in range(12)]
TALK = pathlib.Path("talk.wav")
FOUR = {0: "sad", 1: "calm", 2: "sad", 3: "calm"}


def save(path, labels):
    rows = [
        dict(
            conversation_id="talk", utterance_id=str(i + 1), path="talk.wav", start=turn.start,
            end=turn.end, transcript=turn.words, label=labels.get(i, ""),
        )
        for i, turn in enumerate(TURNS)
    ]  # fmt: skip
    return clips.table(path, rows)


@pytest.mark.e2e
def test_labels_are_learnt_and_turns_predicted_by_the_other_labels(tmp_path):
    random = np.random.default_rng(0)
    sounds = random.normal(0, 1, (12, 88)) + 4 * (np.arange(12) % 2)[:, None]
    recording = Turns(list(TURNS), sounds.astype(np.float32), [])
    right = ["sad" if i % 2 else "calm" for i in range(12)]
    path = save(tmp_path / "x.csv", dict(enumerate(right[:6])) | {6: "sad"})  # the last is wrong
    labels = labelling.match(path, labelling.read(path, TALK), TURNS)
    assert labels == [*right[:6], "sad", *[""] * 5]
    learnt, scores = labelling.learn(recording, labels)
    assert [turn.answer["label"] for turn in learnt.turns] == right
    assert [turn.label for turn in learnt.turns] == labels
    assert scores[:2] == (6, 7)
    assert scores[3:5] == ("sad", 4)
    assert 0 <= scores.chance < 6
    assert scores.interval[0] < 6 / 7 < scores.interval[1]
    sums = [sum(turn.answer["probabilities"].values()) for turn in learnt.turns]
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    (tmp_path / "talk.wav").write_bytes(b"x")
    text = page.render(tmp_path / "talk.wav", learnt, ["calm", "sad"], scores=scores)
    assert "Leave-one-out accuracy: 6 of 7 (86 %, 95 % interval" in text
    assert "for this recording only" in text


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({}, "no label; expected 4 labelled turns"),
        (dict.fromkeys(range(6), "sad"), "sad 6; expected"),
        ({0: "sad", 1: "calm"}, "sad 1, calm 1; expected"),
    ],
)
def test_too_few_labels_are_refused(labels, found, tmp_path):
    with pytest.raises(InputError, match=found):
        labelling.read(save(tmp_path / "x.csv", labels), TALK)


def test_labels_of_other_turns_are_refused(tmp_path):
    path = save(tmp_path / "x.csv", FOUR)
    rows = labelling.read(path, TALK)

    def moved(row, **changes):
        return [*rows[:row], dataclasses.replace(rows[row], **changes), *rows[row + 1 :]]

    with pytest.raises(InputError, match=r"no row of other\.wav"):
        labelling.read(path, pathlib.Path("other.wav"))
    for changed, found in (
        (moved(0, start=0.2), "utterance 1: from 0.2 to 0.5 s there is no turn"),
        # Two labels of a turn count once, and must agree.
        (moved(3, start=0.0, end=0.5, label="sad"), "sad 2, calm 1; expected 4 labelled turns"),
        (moved(3, start=0.0, end=0.5), "4: label 'calm' of a turn that already has 'sad'"),
    ):
        with pytest.raises(InputError, match=found):
            labelling.match(path, changed, TURNS)
