"""Rows of words, in which utterances are the items."""

import dataclasses

import numpy as np

from mman_jax.data.cells.inside import Words
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.sequences import Sequence
from mman_jax.data.splits import Split
from mman_jax.tasks import tasks
from tests.data import small
from tests.data.cells.test_views import two_words
from tests.data.small import refuses

COUNTS = (3, 0, 1, 2, 4, 0)  # words of c0's u0 and u1, c1's u0, c2's u0, u1 and u2
SPLIT = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")


def corpus(**changes):
    cells = sum(COUNTS)
    text = Sequence(np.arange(cells * 2, dtype=np.float32).reshape(cells, 2), np.int32(COUNTS))
    speech = Sequence(-np.ones((cells, 1), np.float32), np.int32(COUNTS))
    given = {"features": {}, "sequences": {"speech": speech, "text": text}}
    labels = np.array([1, 0, 0, 1, -1, 1], np.int32)
    return small.corpus((2, 1, 3), labels=labels, **(given | changes))


def test_words_are_in_their_utterance_s_row_with_the_label_on_the_last():
    made = corpus()
    found = Words.make(made, most=3)
    parts = prepare(made, SPLIT, cells=found)
    assert found.corpus.lengths.tolist() == [3, 1, 1, 2, 3, 1]
    assert found.corpus.features["text"][:, 0].tolist() == [0, 2, 4, 0, 6, 8, 10, 14, 16, 18, 0]
    assert found.corpus.labels.tolist() == [-1, -1, 1, 0, 0, -1, 1, -1, -1, -1, 1]
    assert found.corpus.present["text"].tolist() == [True] * 3 + [False] + [True] * 6 + [False]
    (task,) = tasks(made, "auto")
    labels = parts.labels(task)
    assert labels["train"].tolist() == [[-1, -1, 1], [-1, -1, -1], [-1, -1, -1]]
    assert labels["valid"].tolist() == [[0], [-1]]
    assert parts.rows["test"].reset[:-1].tolist() == [[True, False, False], [True, False, True]]
    assert labels["test"].tolist() == [[-1, -1, -1], [-1, 1, 1], [-1, -1, -1]]
    conversations, positions = parts.whose("test")
    assert conversations.tolist() == [2] * 6
    assert positions.tolist() == [0, 0, 1, 1, 1, 2]
    np.testing.assert_allclose(parts.scaling.mean["text"], [2, 3])
    notices = " ".join(found.notices())
    assert "cells are words, those of text: 11" in notices
    assert "1 utterances have over 3 words" in notices
    assert "2 utterances without a word: not trained on" in notices
    # An utterance without words is scored as one without any modality.
    assert not np.asarray(parts.rows["train"].features["text"])[1].any()
    assert not parts.rows["train"].present["text"][1].any()
    assert parts.rows["train"].mask[1].tolist() == [True, False, False]


def test_common_shapes_hold_the_words_of_several_splits():
    made = corpus()
    found = Words.make(made)
    other = Split(np.array([2]), np.array([1]), np.array([0]), "by hand")
    shapes = common_shapes(made, (SPLIT, other), found)
    assert shapes == {"train": (2, 4), "valid": (1, 1), "test": (2, 4)}
    sizes = {prepare(made, s, shapes, found).rows["test"].mask.shape for s in (SPLIT, other)}
    assert sizes == {(3, 4)}


def test_frames_inside_words():
    alone = {"lengths": np.ones(3, np.int32), "conversation_ids": tuple("abc")}
    made = dataclasses.replace(two_words(), **alone)
    found = Words.make(made, subword=True, most=1)
    split = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")
    assert list(found.frames) == ["face"]
    parts = prepare(made, split, cells=found)
    frames = parts.rows["train"].features["face"]
    assert frames.shape == np.asarray(frames).shape == (2, 1, 1, 1)
    assert parts.rows["train"].present["face"].tolist() == [[[True]], [[False]]]
    assert parts.scaling.mean["face"].tolist() == [8]  # of the only word that is kept
    assert parts.rows["valid"].present["face"].tolist() == [[[False]], [[False]]]
    found = Words.make(made, subword=True)
    parts = prepare(made, split, cells=found)
    rows = parts.rows["train"]
    assert rows.features["face"].shape == (2, 2, 2, 1)
    assert found.frames["face"].lengths.tolist() == [2, 1, 0, 0]
    assert rows.present["face"][0].tolist() == [[True, True], [True, False]]
    whole = np.asarray(rows.features["face"])
    np.testing.assert_array_equal(whole[[0, 0]], rows.features["face"][np.array([0, 0])])
    assert (whole[~rows.present["face"]] == 0).all()
    scaled = whole[0][rows.present["face"][0]]
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-6)


def test_missing_sequences_are_refused():
    refuses(lambda: Words.make(small.corpus((2, 1, 3))), "small: words: no sequences")
    refuses(lambda: Words.make(corpus(), pivot="face"), "small: pivot: no sequence 'face'")
    chosen = ("text", "visual")
    refuses(lambda: Words.make(corpus(), modalities=chosen), "no sequence of modality 'visual'")


def test_modalities_without_a_sequence_are_left_out_and_reported():
    made = corpus(features={"eeg": np.ones((6, 1), np.float32)})
    found = Words.make(made, pivot="speech")
    assert list(found.corpus.features) == ["speech", "text"]
    assert any("eeg: no sequence" in line for line in found.notices())
    chosen = Words.make(made, modalities=("text",), pivot="speech")
    assert list(chosen.corpus.features) == ["text"]
