"""Sequences inside utterances."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data import sequences
from mman_jax.data.sequences import Sequence, averaged
from tests.data import small
from tests.data.small import refuses

_VALUES = np.array([[1, 2], [3, 6], [5, 0], [7, 8], [0, 1]], np.float32)
_TIMES = np.array([[0, 0.5], [0.5, 2], [0, 1], [0, 1.5], [0.1, 0.2]], np.float64)


def words(**changes):
    """Sequences of three utterances with 2, 0 and 3 cells; times start at 0 in each."""
    fields = {
        "values": _VALUES,
        "lengths": np.array([2, 0, 3], np.int32),
        "intervals": _TIMES,
        "names": ("so", "it", "is", "what", "it"),
    }
    return Sequence(**(fields | changes))


def corpus(**changes):
    return small.corpus((2, 1), {"speech": 3}, **({"sequences": {"text": words()}} | changes))


U0, LAST = "conversation c0, utterance u0, ", "conversation c1, utterance u0, "
CELL = "sequence text, cell 1 "
REFUSED = [
    ({"lengths": np.array([2, 0, 2], np.int32)}, ["text: lengths: a sum of 4", "cells, 5"]),
    ({"lengths": np.array([2, 3], np.int32)}, ["text: lengths: 2 entries"]),
    ({"lengths": np.array([6, -1, 0], np.int32)}, ["c0, utterance u1: length -1"]),
    ({"values": _VALUES.astype(np.float64)}, ["text: float64"]),
    ({"values": np.where(_VALUES == 7, np.nan, _VALUES)}, [LAST + CELL + "(what): nan"]),
    ({"intervals": _TIMES[:, 0]}, ["text: intervals: float64 of shape"]),
    ({"intervals": _TIMES[:4]}, ["text: intervals: shape (4, 2)"]),
    ({"intervals": _TIMES[[0, 1, 4, 2, 3]]}, [LAST + CELL + "(what): it starts at 0 s", "0.1 s"]),
    ({"intervals": _TIMES + [[0], [2], [0], [0], [0]] * np.array([1, 0])},
     [U0 + CELL + "(it): it starts at 2.5 s and ends"]),
    ({"intervals": np.full((5, 2), np.inf)}, ["cell 0 (so): it starts at inf s"]),
    ({"names": ("so",)}, ["text: names: 1 entries"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "messages"), REFUSED)
def test_inconsistent_sequences_are_refused(changes, messages):
    refuses(lambda: corpus(sequences={"text": words(**changes)}), "small", *messages)


def test_features_of_an_utterance_are_the_mean_of_its_cells():
    made = corpus()
    assert made.dims == {"speech": 3, "text": 2}
    np.testing.assert_array_equal(made.features["text"], np.float32([[2, 4], [0, 0], [4, 3]]))
    assert made.present["text"].tolist() == [True, False, True]
    both = corpus(features=made.features | {"text": np.ones((3, 4), np.float32)})
    assert both.dims == {"speech": 3, "text": 4}
    assert both.present == {}


def test_sequences_are_read_in_chunks(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    lengths = np.array([7, 0, 1, 32], np.int32)
    means, order = averaged(Sequence(values, lengths)), np.array([2, -1, 0])
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 2)
    np.testing.assert_allclose(averaged(Sequence(values, lengths)), means, rtol=1e-6)
    np.testing.assert_allclose(means[3], values[8:].mean(0), rtol=1e-5)
    taken = sequences.taken(words(), order)
    np.testing.assert_array_equal(taken.values, _VALUES[[2, 3, 4, 0, 1]])
    np.testing.assert_array_equal(taken.intervals, _TIMES[[2, 3, 4, 0, 1]])
    assert (taken.lengths.tolist(), taken.names) == ([3, 0, 2], ("is", "what", "it", "so", "it"))


def test_fingerprints_depend_on_every_part_of_a_sequence():
    changes = [
        {},
        {"values": _VALUES + 1},
        {"intervals": None},
        {"names": None},
        {"lengths": np.array([1, 1, 3], np.int32), "intervals": None},
    ]
    several = [corpus(sequences={"text": words(**change)}).fingerprint() for change in changes]
    assert len({small.corpus((2, 1), {"speech": 3}).fingerprint(), *several}) == 6


def test_a_modality_is_selected_with_its_sequence():
    made = corpus().select_modalities(["text"])
    assert list(made.features) == list(made.sequences) == ["text"]
    assert corpus().select_modalities(["speech"]).sequences == {}
    same = dataclasses.replace(made, source="elsewhere")
    np.testing.assert_array_equal(same.features["text"], made.features["text"])
