"""What lies inside utterances: what fits together, and what it is made into."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data.sequences import Sequence, averaged
from mman_jax.errors import InputError
from tests.data import small

_VALUES = np.array([[1, 2], [3, 6], [5, 0], [7, 8], [0, 1]], np.float32)
_TIMES = np.array([[0, 0.5], [0.5, 2], [0.1, 0.2], [0, 1], [0, 1.5]], np.float64)


def words(**changes):
    """Of three utterances: two cells, none, three; all times are their own clip's."""
    fields = {
        "values": _VALUES,
        "lengths": np.array([2, 0, 3], np.int32),
        "intervals": _TIMES[[0, 1, 3, 4, 2]],
        "names": ("so", "it", "is", "what", "it"),
    }
    return Sequence(**(fields | changes))


def corpus(**changes):
    return small.corpus((2, 1), {"speech": 3}, **({"sequences": {"text": words()}} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lengths": np.array([2, 0, 2], np.int32)},
            "small: sequence text: lengths: a sum of 4; expected their sum to be the number of "
            "cells, 5",
        ),
        ({"lengths": np.array([2, 3], np.int32)}, "sequence text: lengths: 2 entries"),
        (
            {"lengths": np.array([6, -1, 0], np.int32)},
            "sequence text, conversation c0, utterance u1: length -1",
        ),
        ({"values": _VALUES.astype(np.float64)}, "sequence text: float64"),
        (
            {"values": np.where(_VALUES == 7, np.nan, _VALUES)},
            "conversation c1, utterance u0, sequence text, cell 1 (what): nan in column 0",
        ),
        ({"intervals": _TIMES[:, 0]}, "text: intervals: float64 of shape"),
        ({"intervals": _TIMES[:4]}, r"text: intervals: shape (4, 2)"),
        (
            {"intervals": _TIMES},
            "conversation c1, utterance u0, sequence text, cell 1 (what): it starts at 0 s, the "
            "cell before it at 0.1 s",
        ),
        (
            {"intervals": np.array([[0, 1], [3, 2], [0, 1], [1, 2], [2, 3.0]])},
            "conversation c0, utterance u0, sequence text, cell 1 (it): it starts at 3 s and ends",
        ),
        ({"intervals": np.full((5, 2), np.inf)}, "cell 0 (so): from inf to inf"),
        ({"names": ("so",)}, "text: names: 1 entries"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError) as refused:
        corpus(sequences={"text": words(**changes)})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_utterance_has_the_mean_of_its_cells_as_its_feature():
    made = corpus()
    assert made.dims == {"speech": 3, "text": 2}
    np.testing.assert_array_equal(made.features["text"], np.float32([[2, 4], [0, 0], [4, 3]]))
    assert made.present["text"].tolist() == [True, False, True]
    own = {"text": np.ones((3, 4), np.float32), "speech": made.features["speech"]}
    both = corpus(features=own)
    assert both.dims["text"] == 4
    assert both.present == {}


def test_means_are_taken_in_pieces(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    lengths = np.array([7, 0, 1, 32], np.int32)
    whole = averaged(Sequence(values, lengths))
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 12)
    np.testing.assert_allclose(averaged(Sequence(values, lengths)), whole, rtol=1e-6)
    np.testing.assert_allclose(whole[3], values[8:].mean(0), rtol=1e-5)


def test_the_fingerprint_sees_every_part_of_a_sequence():
    plain = small.corpus((2, 1), {"speech": 3}).fingerprint()
    changed = [
        {},
        {"values": _VALUES + 1},
        {"intervals": None},
        {"names": None},
        {"lengths": np.array([1, 1, 3], np.int32), "intervals": None},
    ]
    several = [corpus(sequences={"text": words(**changes)}).fingerprint() for changes in changed]
    assert len({plain, *several}) == 6


def test_a_modality_is_selected_with_its_sequence():
    made = corpus().select_modalities(["text"])
    assert list(made.features) == list(made.sequences) == ["text"]
    assert corpus().select_modalities(["speech"]).sequences == {}
    again = dataclasses.replace(made, source="elsewhere")
    np.testing.assert_array_equal(again.features["text"], made.features["text"])
