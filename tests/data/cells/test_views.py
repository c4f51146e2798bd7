"""Sequences on the cells of another, inside them, and as they are; by hand."""

import numpy as np
import pytest

from mman_jax.data.cells import views
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from tests.data import small


def two_words(**changes):
    """c0's u0 has two words, u1 none, c1's u0 one; frames of the face lie in and between them."""
    words = Sequence(
        np.array([[1, 1], [2, 2], [3, 3]], np.float32),
        np.array([2, 0, 1], np.int32),
        np.array([[0.1, 0.4], [0.4, 0.6], [0, 1]]),
        ("good", "day", "no"),
    )
    middles = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.3])
    face = Sequence(
        np.array([[1], [2], [4], [8], [16], [32]], np.float32),
        np.array([5, 1, 0], np.int32),
        np.stack([middles - 0.01, middles + 0.01], axis=1),
    )
    return small.corpus((2, 1), {"speech": 2}, sequences={"text": words, "face": face} | changes)


def test_a_word_has_the_mean_of_the_frames_whose_middles_it_holds():
    view = views.aligned(two_words(), "text")
    np.testing.assert_allclose(view["face"].values, [[3], [8], [0]])
    assert view["face"].present.tolist() == [True, True, False]
    np.testing.assert_array_equal(view["text"].values, [[1, 1], [2, 2], [3, 3]])
    assert view["text"].present.all()
    words = views.aligned(two_words(), "face")["text"]
    assert words.values[:, 0].tolist() == [0, 0, 0, 0, 0, 0]  # 0.25 and 0.5 lie in no frame
    assert not words.present.any()


def test_frames_that_overlap_and_words_without_length():
    times = np.array([[0, 9.0], [0.1, 0.3], [0.2, 0.2]])  # middles 4.5, 0.2 and 0.2
    values = np.array([[1], [2], [6]], np.float32)
    face = Sequence(values, np.array([3, 0, 0], np.int32), times)
    frame = Sequence(values, np.array([3, 0, 0], np.int32), times[[0, 2, 2]] + [0, 1e-3])
    sequences = {"text": frame, "face": face}
    view = views.aligned(two_words(**sequences), "text")["face"]
    assert view.values[:, 0].tolist() == [3, 4, 4]
    at_once = Sequence(values, np.array([3, 0, 0], np.int32), times[[2, 2, 2]])
    view = views.aligned(two_words(text=at_once, face=face), "text")["face"]
    assert not view.present.any()


def test_without_times_cells_belong_together_by_number_or_not_at_all():
    face = Sequence(np.ones((3, 4), np.float32), np.array([2, 0, 1], np.int32))
    corpus = two_words(face=face)
    assert views.aligned(corpus, "text")["face"].values is face.values
    frames = views.subword(corpus, "text")
    assert list(frames) == ["face"]
    assert frames["face"].lengths.tolist() == [1, 1, 1]
    face = Sequence(np.ones((3, 4), np.float32), np.array([1, 1, 1], np.int32))
    for view in (views.aligned, views.subword):
        with pytest.raises(InputError) as refused:
            view(two_words(face=face), "text")
        assert str(refused.value) == (
            "small: conversation c0, utterance u0, sequence face: 1 cells, and 2 of text; "
            "expected as many, or the times of each cell (intervals/face)"
        )
        with pytest.raises(InputError, match=r"small: pivot: no sequence 'texts'.*'text'"):
            view(corpus, "texts")


def test_frames_of_a_word_are_binned_from_its_first_one_on(monkeypatch):
    middles = np.arange(10) * 0.02 + 0.11  # 0.11 to 0.29
    words = Sequence(
        np.ones((2, 1), np.float32),
        np.array([0, 0, 2], np.int32),
        np.array([[0.1, 0.26], [0.26, 0.3]]),
    )
    values = np.arange(10, dtype=np.float32)[:, None] + [0, 10]
    face = Sequence(
        values.astype(np.float32), np.array([0, 0, 10], np.int32), np.stack([middles] * 2, axis=1)
    )
    corpus = two_words(text=words, face=face)
    found = views.subword(corpus, "text")["face"]
    assert found.lengths.tolist() == [3, 1]  # 0-0.05: 3, 0.05-0.1: 2, 0.1-0.15: 3; two are left
    assert found.values[:, 0].tolist() == [1, 3.5, 6, 8.5]
    assert found.values[:, 1].tolist() == [11, 13.5, 16, 18.5]
    monkeypatch.setattr(views, "_FRAMES", 2)
    few = views.subword(corpus, "text")["face"]
    assert (few.lengths.tolist(), few.values[:, 0].tolist()) == ([2, 1], [1, 3.5, 8.5])
    monkeypatch.setattr(views, "_FRAMES", 20)
    monkeypatch.setattr(views, "_RATE", 1e6)
    assert views.subword(corpus, "text")["face"].lengths.tolist() == [8, 2]
    monkeypatch.undo()
    gap = Sequence(face.values[:3], np.array([0, 0, 3], np.int32), face.intervals[[0, 1, 7]])
    found = views.subword(two_words(text=words, face=gap), "text")["face"]
    assert (found.lengths.tolist(), found.values[:, 0].tolist()) == ([2, 0], [0.5, 2])


def test_a_sequence_as_it_is_is_cut_in_front_or_averaged_in_parts():
    values = np.arange(7, dtype=np.float32)[:, None]
    sequence = Sequence(values, np.array([5, 0, 2], np.int32))
    cut = views.as_is(sequence, cells=3)
    assert (cut.lengths.tolist(), cut.values[:, 0].tolist()) == ([3, 0, 2], [2, 3, 4, 5, 6])
    whole = views.as_is(sequence)
    np.testing.assert_array_equal(whole.values, values)
    parts = views.as_is(sequence, parts=3)
    assert parts.lengths.tolist() == [3, 0, 3]
    assert parts.values[:, 0].tolist() == [0, 1.5, 3.5, 5, 5, 6]
    begun = views.as_is(sequence, first=3)
    assert (begun.lengths.tolist(), begun.values[:, 0].tolist()) == ([3, 0, 2], [0, 1, 2, 5, 6])
    two = ({"cells": 1, "parts": 1}, {"cells": 1, "first": 1}, {"first": 1, "parts": 1})
    for wrong in ({"cells": 0}, {"parts": 0}, {"first": 0}, *two):
        with pytest.raises(InputError, match="view: cells="):
            views.as_is(sequence, **wrong)
