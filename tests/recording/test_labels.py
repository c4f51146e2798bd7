"""Learning from labels of a recording's turns."""

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


@pytest.fixture
def found():
    random = np.random.default_rng(0)
    sounds = random.normal(0, 1, (12, 88)) + 4 * (np.arange(12) % 2)[:, None]
    return Turns(list(TURNS), sounds.astype(np.float32), [])


def saved(path, labels):
    place = {"conversation_id": "talk", "path": "talk.wav"}
    rows = [
        place | {"utterance_id": str(i + 1), "start": str(turn.start), "end": str(turn.end)}
        | {"transcript": turn.words, "label": labels.get(i, "")}
        for i, turn in enumerate(TURNS)
    ]  # fmt: skip
    return clips.table(path, rows)


def test_labels_are_learnt_and_each_is_answered_without_itself(found, tmp_path):
    given = {i: "sad" if i % 2 else "calm" for i in range(7)} | {6: "sad"}  # the last one is wrong
    path = saved(tmp_path / "x.csv", given)
    labels = labelling.match(path, labelling.read(path, TALK), TURNS)
    assert labels == [given.get(i, "") for i in range(12)]
    after, taught = labelling.learn(found, labels)
    answers = [turn.answer["label"] for turn in after.turns]
    # By the others the last label is not believed.
    assert answers == ["sad" if i % 2 else "calm" for i in range(12)]
    assert taught[:2] == (6, 7)
    assert taught[3:5] == ("sad", 4)
    assert 0 <= taught.chance < 6
    assert taught.interval[0] < 6 / 7 < taught.interval[1]
    assert [turn.label for turn in after.turns] == labels
    sums = [sum(turn.answer["probabilities"].values()) for turn in after.turns]
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_the_page_says_what_was_learnt(found, tmp_path):
    (tmp_path / "talk.wav").write_bytes(b"x")
    labels = ["a", "b"] * 4 + [""] * 4
    after, taught = labelling.learn(found, labels)
    text = page.render(tmp_path / "talk.wav", after, ["a", "b"], scores=taught)
    assert "Leave-one-out accuracy: 8 of 8 (100%; 95 % interval" in text
    assert "for this recording only" in text


@pytest.mark.parametrize(
    ("labels", "said", "talk"),
    [
        ({}, "no label; expected 4 labelled turns or more, of two labels", "talk.wav"),
        (dict.fromkeys(range(6), "sad"), "sad 6; expected", "talk.wav"),
        ({0: "sad", 1: "calm"}, "sad 1, calm 1; expected", "talk.wav"),
        ({}, "no row of other.wav; expected the manifest that its page saved", "other.wav"),
    ],
)
def test_labels_that_teach_nothing(labels, said, talk, tmp_path):
    with pytest.raises(InputError, match=said):
        labelling.read(saved(tmp_path / "x.csv", labels), pathlib.Path(talk))


def test_labels_of_one_turn_count_once(tmp_path):
    labels = {0: "sad", 1: "calm", 2: "sad"}
    rows = labelling.read(saved(tmp_path / "x.csv", labels | {3: "sad"}), TALK)
    twice = [
        dataclasses.replace(row, start=0.0, end=0.5) if row.start == 3 else row for row in rows
    ]
    with pytest.raises(InputError, match=r"sad 2, calm 1; expected 4 labelled turns"):
        labelling.match(tmp_path / "x.csv", twice, TURNS)
    twice[-1] = dataclasses.replace(twice[-1], label="calm")
    with pytest.raises(InputError, match=r"utterance 4: label 'calm' of a turn that has 'sad'"):
        labelling.match(tmp_path / "x.csv", twice, TURNS)
    moved = [dataclasses.replace(TURNS[0], start=0.2), *TURNS[1:]]
    with pytest.raises(InputError, match=r"utterance 1: from 0.0 to 0.5 s there is no turn"):
        labelling.match(tmp_path / "x.csv", rows, moved)
