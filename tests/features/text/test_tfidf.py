import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.text import tfidf

TEXTS = ["the cat sat", "the dog sat down", "a cat and a dog", "the end", "down and out"]


def dense(texts, vocabulary, fitted_on):
    """TF-IDF by its definition, word by word."""
    rows = []
    for text in texts:
        row = []
        for word in vocabulary:
            documents = sum(word in other.split() for other in fitted_on)
            idf = 1 + np.log((1 + len(fitted_on)) / (1 + documents))
            row.append(text.split().count(word) * idf)
        rows.append(np.array(row) / max(np.linalg.norm(row), 1e-9))
    return np.array(rows)


def test_is_the_svd_of_the_definition():
    fitted = tfidf.fit(TEXTS, 3)
    weights = dense(TEXTS, fitted.vocabulary, TEXTS)
    _, _, directions = np.linalg.svd(weights, full_matrices=False)
    np.testing.assert_allclose(np.abs(fitted.components.T @ directions[:3].T), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(fitted.apply(TEXTS), weights @ fitted.components, atol=1e-6)
    new = "the cat out"
    expected = dense([new], fitted.vocabulary, TEXTS) @ fitted.components
    np.testing.assert_allclose(fitted.apply([new]), expected, atol=1e-6)


def test_words_unknown_to_training_change_nothing_but_are_no_error():
    fitted = tfidf.fit(TEXTS, 3)
    np.testing.assert_array_equal(fitted.apply(["cat zebra sat"]), fitted.apply(["sat cat"]))
    np.testing.assert_array_equal(fitted.apply(["zebra", ""]), np.zeros((2, 3)))


def test_rarer_words_weigh_more():
    fitted = tfidf.fit(TEXTS, 3)
    idf = dict(zip(fitted.vocabulary.tolist(), fitted.idf, strict=True))
    assert idf["the"] < idf["cat"] < idf["end"]


def test_long_and_repeated_transcripts_weigh_alike():
    fitted = tfidf.fit(TEXTS, 3)
    np.testing.assert_allclose(fitted.apply(["cat dog"]), fitted.apply(["cat dog " * 9]), atol=1e-6)


def test_the_same_every_time():
    first, second = tfidf.fit(TEXTS, 3), tfidf.fit(TEXTS, 3)
    np.testing.assert_array_equal(first.components, second.components)


def test_no_more_components_than_there_is_text():
    assert tfidf.fit(TEXTS, 100).apply(TEXTS).shape == (5, 4)
    # Transcripts that repeat point in no more directions than they do once.
    again = tfidf.fit(TEXTS * 3, 100).apply(TEXTS)
    assert again.shape == (5, 5)
    assert np.abs(again).max(0).min() > 0.01
    for texts in (["one"], ["same", "same"], ["", ""]):
        with pytest.raises(InputError, match="training transcripts"):
            tfidf.fit(texts, 2)
