"""Sequences aligned to another sequence, within its cells, and unaligned."""

import numpy as np

from mman_jax.data.cells import views
from mman_jax.data.sequences import Sequence
from tests.data import small
from tests.data.small import refuses


def of(values, lengths, times=None):
    array = np.array(values, np.float32)
    array = array[:, None] if array.ndim == 1 else array
    times = None if times is None else np.array(times, np.float64)
    return Sequence(array, np.array(lengths, np.int32), times)


def two_words(**changes):
    """Two words in c0's u0, none in u1, one in c1's u0; frames of a face in and between them."""
    words = of([[1, 1], [2, 2], [3, 3]], [2, 0, 1], [[0.1, 0.4], [0.4, 0.6], [0, 1]])
    middles = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.3])
    face = of([1, 2, 4, 8, 16, 32], [5, 1, 0], np.stack([middles - 0.01, middles + 0.01], axis=1))
    sequences = {"text": words, "face": face} | changes
    return small.corpus((2, 1), {"speech": 2}, sequences=sequences)


def test_a_word_has_the_mean_of_the_frames_whose_middle_it_contains():
    view = views.aligned(two_words(), "text")
    np.testing.assert_allclose(view["face"].values, [[3], [8], [0]])
    assert view["face"].present.tolist() == [True, True, False]
    np.testing.assert_array_equal(view["text"].values, [[1, 1], [2, 2], [3, 3]])
    assert view["text"].present.all()
    words = views.aligned(two_words(), "face")["text"]
    assert words.values[:, 0].tolist() == [0, 0, 0, 0, 0, 0]  # 0.25 and 0.5 are in no frame
    assert not words.present.any()


def test_frames_that_overlap_and_words_without_duration():
    times = np.array([[0, 9.0], [0.1, 0.3], [0.2, 0.2]])  # middles 4.5, 0.2 and 0.2
    face = of([1, 2, 6], [3, 0, 0], times)
    overlapping = of([1, 2, 6], [3, 0, 0], times[[0, 2, 2]] + [0, 1e-3])
    view = views.aligned(two_words(text=overlapping, face=face), "text")["face"]
    assert view.values[:, 0].tolist() == [3, 4, 4]
    at_once = of([1, 2, 6], [3, 0, 0], times[[2, 2, 2]])
    view = views.aligned(two_words(text=at_once, face=face), "text")["face"]
    assert not view.present.any()


def test_without_times_cells_are_matched_by_number():
    face = of(np.ones((3, 4)), [2, 0, 1])
    corpus = two_words(face=face)
    assert views.aligned(corpus, "text")["face"].values is face.values
    frames = views.subword(corpus, "text")
    assert list(frames) == ["face"]
    assert frames["face"].lengths.tolist() == [1, 1, 1]
    other = two_words(face=of(np.ones((3, 4)), [1, 1, 1]))
    place = "small: conversation c0, utterance u0, sequence face: 1 cells, and 2 of text"
    for view in (views.aligned, views.subword):
        refuses(lambda view=view: view(other, "text"), place, "intervals/face")
        refuses(lambda view=view: view(corpus, "texts"), "small: pivot: no sequence 'texts'")


def test_frames_of_a_word_are_binned_from_its_first_frame_on(monkeypatch):
    middles = np.arange(10) * 0.02 + 0.11  # 0.11 to 0.29
    words = of(np.ones((2, 1)), [0, 0, 2], [[0.1, 0.26], [0.26, 0.3]])
    values = np.arange(10)[:, None] + [0, 10]
    face = of(values, [0, 0, 10], np.stack([middles] * 2, axis=1))

    def found(face=face):
        frames = views.subword(two_words(text=words, face=face), "text")["face"]
        return frames.lengths.tolist(), frames.values.T.tolist()

    # 3 frames in 0 to 0.05, 2 in 0.05 to 0.1, 3 in 0.1 to 0.15; two are in the second word.
    assert found() == ([3, 1], [[1, 3.5, 6, 8.5], [11, 13.5, 16, 18.5]])
    gap = of(face.values[:3], [0, 0, 3], face.intervals[[0, 1, 7]])
    assert found(gap) == ([2, 0], [[0.5, 2], [10.5, 12]])
    monkeypatch.setattr(views, "_FRAMES", 2)
    assert found() == ([2, 1], [[1, 3.5, 8.5], [11, 13.5, 18.5]])
    monkeypatch.setattr(views, "_FRAMES", 20)
    monkeypatch.setattr(views, "_RATE", 1e6)
    assert found()[0] == [8, 2]


def test_unaligned_sequences_are_truncated_or_averaged():
    sequence = of(np.arange(7), [5, 0, 2])

    def found(**how):
        view = views.as_is(sequence, **how)
        return view.lengths.tolist(), view.values[:, 0].tolist()

    assert found() == ([5, 0, 2], [0, 1, 2, 3, 4, 5, 6])
    assert found(cells=3) == ([3, 0, 2], [2, 3, 4, 5, 6])
    assert found(first=3) == ([3, 0, 2], [0, 1, 2, 5, 6])
    assert found(parts=3) == ([3, 0, 3], [0, 1.5, 3.5, 5, 5, 6])
    two = ({"cells": 1, "parts": 1}, {"cells": 1, "first": 1}, {"first": 1, "parts": 1})
    for wrong in ({"cells": 0}, {"parts": 0}, {"first": 0}, *two):
        refuses(lambda wrong=wrong: found(**wrong), "view: cells=")
