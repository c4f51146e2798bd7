"""Distances to the training data, against counts by hand."""

import numpy as np
import pytest

from mman_jax.data import scaling
from mman_jax.data.parts import prepare
from mman_jax.inference import familiarity
from mman_jax.inference.familiarity import LEVELS, Familiarity
from tests import tiny

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def parts():
    return prepare(tiny.corpus())


def test_the_share_of_training_utterances_that_are_at_least_as_far(parts):
    corpus, fitted = parts.corpus, familiarity.fit(parts.rows["train"])
    scaled = parts.scaling.apply(corpus.features)
    shares, marks = fitted.compare(scaled, {})
    train = corpus.is_of(parts.split.train)
    by_modality = []
    for x in scaled.values():
        distances = np.abs(x).mean(1)
        by_modality.append((distances[train][None] >= distances[:, None]).mean(1))
    # Quantiles are apart by less than 0.02, and one utterance of training is a larger share.
    np.testing.assert_allclose(shares, np.min(by_modality, 0), atol=0.02 + 1 / train.sum())
    assert marks[train].mean() < 0.02
    assert (shares[marks] < 0.005).all()


def test_what_is_far_in_one_modality_is_marked_and_what_is_missing_is_not_known(parts):
    fitted = familiarity.fit(parts.rows["train"])
    near = {m: np.zeros((4, d), np.float32) for m, d in parts.corpus.dims.items()}
    near["text"][1:] = scaling.LIMIT
    present = {
        "text": np.array([True, True, False, True]),
        "speech": np.array([True, False, True, True]),
    }
    shares, marks = fitted.compare(near, present)
    assert shares.tolist() == [1, 0, 1, 0]
    assert marks.tolist() == [False, True, False, True]
    nothing = dict.fromkeys(near, np.zeros(4, bool))
    shares, marks = fitted.compare(near, nothing)
    assert np.isnan(shares).all()
    assert not marks.any()


def test_equal_distances_are_familiar():
    same = Familiarity({"speech": np.ones(len(LEVELS), np.float32)})
    shares, marks = same.compare({"speech": np.ones((2, 3), np.float32)}, {})
    assert shares.tolist() == [1, 1]
    assert not marks.any()


@pytest.mark.parametrize("modalities", [1, 3])
def test_one_of_a_hundred_like_those_of_training_is_marked(modalities):
    def normal():
        return {
            f"m{i}": RANDOM.normal(size=(20_000, 5)).astype(np.float32) for i in range(modalities)
        }

    levels = {m: np.quantile(np.abs(x).mean(1), LEVELS) for m, x in normal().items()}
    _, marks = Familiarity(levels).compare(normal(), {})
    assert 0.006 < marks.mean() < 0.014
