"""Modalities that some utterances lack, from the file to the rows."""

import numpy as np
import pytest

from mman_jax.data import batching, scaling, warnings
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.small import corpus


def lacking(**changes):
    """Utterances 1 and 4 have no text; NaN stands in its place."""
    made = corpus()
    text = made.features["text"].copy()
    text[[1, 4]] = np.nan
    present = np.array([1, 0, 1, 1, 0, 1], bool)
    fields = {"features": made.features | {"text": text}, "present": {"text": present}}
    return corpus(**(fields | changes))


def test_round_trip(tmp_path):
    npz.write(lacking(), tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as stored:
        assert stored["present/text"].dtype == bool
        arrays = dict(stored) | {"present/text": np.ones(6, np.int8)}
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(InputError, match=r"present/text: int8.*expected bool"):
        npz.read(tmp_path / "d.npz")
    again = npz.read(tmp_path / "c.npz")
    assert again.present["text"].tolist() == [True, False, True, True, False, True]
    np.testing.assert_array_equal(again.features["text"], lacking().features["text"])


def test_nan_is_refused_where_the_modality_is_not_told_as_missing():
    present = np.array([1, 0, 1, 1, 1, 1], bool)
    with pytest.raises(InputError, match=r"conversation c2, utterance u1, modality text.*present"):
        lacking(present={"text": present})


def test_statistics_are_of_what_is_there():
    made = lacking()
    fitted = scaling.fit(made, [0, 1, 2])
    there = made.features["text"][made.present["text"]]
    np.testing.assert_allclose(fitted.mean["text"], there.mean(0), rtol=1e-6)
    np.testing.assert_allclose(fitted.scale["text"], 1 / there.std(0), rtol=1e-6)
    np.testing.assert_array_equal(
        fitted.mean["speech"], scaling.fit(corpus(), [0, 1, 2]).mean["speech"]
    )


def test_a_modality_that_training_lacks_altogether_is_zero_and_said():
    made = lacking(present={"text": np.array([0, 0, 0, 1, 1, 1], bool) & lacking().present["text"]})
    fitted = scaling.fit(made, [0, 1])
    assert not fitted.mean["text"].any()
    assert (fitted.scale["text"] == 1).all()
    assert [str(f) for f in warnings.of_columns(made, fitted, [0, 1])]


def test_missing_features_are_zero_in_the_rows_and_told():
    made = lacking()
    layout = batching.pack(made.lengths, [0, 1, 2])
    for fitted in (None, scaling.fit(made, [0, 1, 2])):
        batch = batching.rows(made, layout, made.labels, fitted)
        text, present = np.asarray(batch.features["text"]), batch.present["text"]
        assert present.tolist() == [[True, False, True], [True, False, True], [False] * 3]
        assert np.isfinite(text).all()
        assert not text[~present].any()
        assert "speech" not in batch.present


def test_selected_modalities_keep_their_masks():
    assert list(lacking().select_modalities(["text"]).present) == ["text"]
    assert lacking().select_modalities(["speech"]).present == {}
