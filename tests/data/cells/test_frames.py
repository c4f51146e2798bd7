"""Rows of frames, one utterance per row."""

import dataclasses

import numpy as np

from mman_jax.data.cells.inside import Frames
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.sequences import Sequence
from mman_jax.data.splits import Split
from mman_jax.tasks import tasks
from tests.data import small
from tests.data.small import refuses

# Of c0's u0, u1 and u2, c1's u0 and c2's u0; the third has nothing at all.
TEXT, FACE = (2, 1, 0, 1, 1), (3, 0, 0, 2, 1)
SPLIT = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")
HOW = {"face": {"cells": 2}, "text": {"first": 1}}


def make(made, how):
    return Frames.make(made, list(how), frame_view=how.get)


def sequence(counts, size):
    total = sum(counts)
    values = np.repeat(np.arange(1, total + 1, dtype=np.float32)[:, None], size, axis=1)
    return Sequence(values, np.array(counts, np.int32))


def corpus(labels=(0, 1, 1, -1, 1)):
    sequences = {"text": sequence(TEXT, 3), "face": sequence(FACE, 1)}
    labels = np.array(labels, np.int32)
    return small.corpus((3, 1, 1), {"eeg": 2}, labels=labels, sequences=sequences)


def test_rows_by_hand():
    made = corpus(labels=(0, 1, 1, 0, 1))
    cells = make(made, HOW)
    assert list(cells.frames) == ["face", "text"]
    assert cells.corpus.lengths.tolist() == [1] * 5
    parts = prepare(made, SPLIT, cells=cells)
    rows = parts.rows["train"]
    face, text = (np.asarray(rows.features[name]) for name in HOW)
    # Rows of one utterance and the empty row; F is the largest number of frames in the view.
    assert (face.shape, text.shape) == ((4, 1, 2, 1), (4, 1, 1, 3))
    assert rows.present["face"][:, 0].sum(1).tolist() == [2, 0, 0, 0]
    assert rows.present["text"][:, 0, 0].tolist() == [True, True, False, False]
    # Frames 2 and 3 of the face are in training: mean 2.5, deviation 0.5; of the text, 1 and 3.
    assert parts.scaling.mean["face"].tolist() == [2.5]
    np.testing.assert_allclose(face[0, 0, :, 0], [-1, 1])
    assert not face[1:].any()
    np.testing.assert_allclose(text[:, 0, 0, 0], [-1, 1, 0, 0])
    (task,) = tasks(made, "auto")
    # An utterance without frames is not trained on, but tested.
    assert parts.labels(task)["train"].tolist() == [[0], [1], [-1], [-1]]
    conversations, positions = parts.whose("train")
    assert (conversations.tolist(), positions.tolist()) == ([0, 0, 0], [0, 1, 2])
    other = dataclasses.replace(SPLIT, train=SPLIT.test, test=SPLIT.train)
    tested = prepare(made, other, cells=cells)
    assert tested.labels(task)["test"].tolist() == [[0], [1], [1], [-1]]
    shapes = common_shapes(made, (SPLIT, other), cells)
    assert shapes == {"train": (3, 1), "valid": (1, 1), "test": (3, 1)}


def test_truncated_averaged_and_missing_frames_are_reported():
    cells = make(corpus(), HOW | {"face": {"parts": 2}})
    assert cells.frames["face"].lengths.tolist() == [2, 0, 0, 2, 2]
    notices = " ".join(cells.notices())
    assert "unaligned frames; kept: 6 of face, 4 of text" in notices
    assert "eeg: no sequence of this name, left out over frames" in notices
    assert "1 utterances have over 2 of face: averaged into 2 parts" in notices
    assert "1 utterances have over 1 of text: the first are kept" in notices
    assert "1 utterances without a frame: not trained on" in notices
    assert cells.about() == {
        "frames": {
            "how": {"face": {"parts": 2}, "text": {"first": 1}},
            "cells": {"face": 6, "text": 4},
            "utterances_cut": {"face": 1, "text": 1},
            "utterances_without": 1,
        }
    }


def test_modalities_without_frames_are_refused():
    how = {"face": {"cells": 2}, "eeg": {"cells": 2}}
    refuses(lambda: make(small.corpus((2, 1)), how), "small: frames: no sequences")
    refuses(lambda: make(corpus(), how), "small: frames: no sequence of modality 'eeg'", "face")
