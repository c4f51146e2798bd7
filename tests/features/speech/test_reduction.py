import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.speech import reduction


def table(count, size, seed=0):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, size)) @ random.normal(size=(size, size))
    return (mixed * random.uniform(0.1, 50, size) + random.normal(size=size)).astype(np.float32)


@pytest.mark.parametrize(("count", "size", "kept"), [(60, 12, 5), (9, 40, 4), (13, 12, 12)])
def test_against_numpy_s_svd(count, size, kept):
    features = table(count, size)
    wide = features.astype(np.float64)
    scores = (wide - wide.mean(0)) / wide.std(0)
    _, values, directions = np.linalg.svd(scores - scores.mean(0), full_matrices=False)
    found = reduction.fit(features, kept)
    # The same subspace and the same variance of each component; a direction may be its opposite.
    overlap = np.abs(found.components.T @ directions[:kept].T)
    np.testing.assert_allclose(overlap, np.eye(kept), atol=1e-6)
    applied = found.apply(features)
    assert applied.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(applied, axis=0), values[:kept], rtol=1e-4)
    np.testing.assert_allclose(applied.mean(0), 0, atol=1e-4)


@pytest.mark.parametrize(("count", "size"), [(5, 40), (50, 4)])
def test_no_more_components_than_the_training_utterances_give(count, size):
    found = reduction.fit(table(count, size), 100)
    assert found.apply(table(3, size)).shape == (3, min(count - 1, size))
    np.testing.assert_allclose(
        found.components.T @ found.components, np.eye(min(count - 1, size)), atol=1e-9
    )


def test_one_utterance_alone_gives_what_it_gives_among_others():
    features = table(30, 50)
    found = reduction.fit(features[:20], 8)
    alone = np.concatenate([found.apply(features[i : i + 1]) for i in range(30)])
    np.testing.assert_allclose(alone, found.apply(features), rtol=1e-5, atol=1e-5)


def test_constant_columns_stay_bounded():
    features = table(20, 6)
    features[:, 2] = 7.0
    found = reduction.fit(features, 5)
    features[0, 2] = 1e30
    assert np.isfinite(found.apply(features)).all()
    assert np.abs(found.apply(features)).max() < 20 * np.sqrt(6) + 1


def test_the_same_every_time_and_signs_are_settled():
    features = table(20, 30)
    first, second = reduction.fit(features, 6), reduction.fit(features, 6)
    np.testing.assert_array_equal(first.components, second.components)
    largest = np.abs(first.components).argmax(0)
    assert (first.components[largest, np.arange(6)] > 0).all()


def test_refused():
    with pytest.raises(InputError, match="1 training utterances; expected at least 2"):
        reduction.fit(table(1, 4), 2)
    with pytest.raises(InputError, match="3 features; expected 4"):
        reduction.fit(table(5, 4), 2).apply(table(1, 3))
