"""Frames laid in rows as they are, one utterance a row; by hand."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data.cells.frames import Frames
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.sequences import Sequence
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.tasks import tasks
from tests.data import small

# Of c0's u0, u1 and u2, of c1's u0, of c2's u0: the third has nothing at all.
TEXT, FACE = (2, 1, 0, 1, 1), (3, 0, 0, 2, 1)
SPLIT = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")
HOW = {"face": {"cells": 2}, "text": {"first": 1}}


def make(made, how):
    return Frames.make(made, list(how), frame_view=how.get)


def sequence(counts, size):
    total = sum(counts)
    values = np.repeat(np.arange(1, total + 1, dtype=np.float32)[:, None], size, axis=1)
    return Sequence(values, np.array(counts, np.int32))


def corpus():
    sequences = {"text": sequence(TEXT, 3), "face": sequence(FACE, 1)}
    labels = np.array([0, 1, 1, -1, 1], np.int32)
    return small.corpus((3, 1, 1), {"eeg": 2}, labels=labels, sequences=sequences)


def test_each_modality_has_its_own_frames_in_the_row_of_its_utterance():
    made = dataclasses.replace(corpus(), labels=np.array([0, 1, 1, 0, 1], np.int32))
    found = make(made, HOW)
    assert list(found.frames) == ["face", "text"]
    assert found.corpus.lengths.tolist() == [1] * 5
    parts = prepare(made, SPLIT, cells=found)
    rows = parts.rows["train"]
    face, text = (np.asarray(rows.features[name]) for name in HOW)
    # Rows of one utterance, and the empty one; F is the most of the corpus after the view.
    assert (face.shape, text.shape) == ((4, 1, 2, 1), (4, 1, 1, 3))
    assert rows.present["face"][:, 0].sum(1).tolist() == [2, 0, 0, 0]
    assert rows.present["text"][:, 0, 0].tolist() == [True, True, False, False]
    # Of the face 2 and 3 are kept in training: mean 2.5, deviation 0.5; of the text 1 and 3.
    assert parts.scaling.mean["face"].tolist() == [2.5]
    np.testing.assert_allclose(face[0, 0, :, 0], [-1, 1])
    assert not face[1:].any()
    np.testing.assert_allclose(text[:, 0, 0, 0], [-1, 1, 0, 0])
    (task,) = tasks(made, "auto")
    # Nothing can be learnt from an utterance of which all is missing; it would be tested.
    assert parts.labels(task)["train"].tolist() == [[0], [1], [-1], [-1]]
    conversations, positions = parts.whose("train")
    assert (conversations.tolist(), positions.tolist()) == ([0, 0, 0], [0, 1, 2])
    other = Split(np.array([2]), np.array([1]), np.array([0]), "by hand")
    tested = prepare(made, other, cells=found)
    assert tested.labels(task)["test"].tolist() == [[0], [1], [1], [-1]]
    shapes = common_shapes(made, (SPLIT, other), found)
    assert shapes == {"train": (3, 1), "valid": (1, 1), "test": (3, 1)}


def test_what_was_cut_averaged_and_left_out_is_told():
    found = make(corpus(), HOW | {"face": {"parts": 2}})
    assert found.frames["face"].lengths.tolist() == [2, 0, 0, 2, 2]
    said = " ".join(found.notices())
    assert "unaligned frames; kept: 6 of face, 4 of text" in said
    assert "eeg: no sequence of this name, left out over frames" in said
    assert "1 utterances have over 2 of face: averaged into 2 parts" in said
    assert "1 utterances have over 1 of text: the first are kept" in said
    assert "1 utterances without a frame: not trained on" in said
    assert found.about() == {
        "frames": {
            "how": {"face": {"parts": 2}, "text": {"first": 1}},
            "cells": {"face": 6, "text": 4},
            "utterances_cut": {"face": 1, "text": 1},
            "utterances_without": 1,
        }
    }


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda: small.corpus((2, 1)),
            "small: frames: no sequences; expected sequences/<modality>",
        ),
        (corpus, "small: frames: no sequence of modality 'eeg'; expected one of text, face"),
    ],
)
def test_refused(made, message):
    with pytest.raises(InputError, match=message):
        make(made(), {"face": {"cells": 2}, "eeg": {"cells": 2}})
