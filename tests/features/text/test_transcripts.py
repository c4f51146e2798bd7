import jax
import numpy as np
import pytest
from flax import traverse_util
from sklearn.feature_extraction.text import TfidfVectorizer

from mman_jax.errors import InputError
from mman_jax.features.extractor import TrainingData
from mman_jax.features.text import transcripts
from mman_jax.features.text.transcripts import CnnText, TextCNN, TfIdfText

TEXTS = ["the cat sat", "the dog sat down", "a cat and a dog", "the end", "down and out"]
WORDS = ("bad", "fine", "good", "it", "was", "week")


@pytest.fixture(scope="module")
def fitted():
    """A network whose biases would make padding visible in its features."""
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
    fitted = {"vocabulary": np.array(WORDS), "vectors": vectors}
    inputs = transcripts.pack(fitted, ["good"], 8)
    variables = TextCNN(features=7, classes=2).init(jax.random.key(0), inputs, train=False)
    variables = jax.tree.map(lambda x: x + 0.5 if x.ndim == 1 else x, variables)
    return fitted | traverse_util.flatten_dict(variables, sep="/")


@pytest.fixture(scope="module")
def describe(fitted):
    """Features of transcripts by the network."""
    return lambda texts: CnnText(features=7, words=8).apply(fitted, texts)


def test_transcripts_are_padded_and_cut_without_unknown_words(fitted):
    packed, mask = transcripts.pack(fitted, ["It was zebra GOOD!", "good " * 20, ""], 8)
    assert packed.shape == (3, 8, 5)
    assert mask.sum(1).tolist() == [3, 8, 0]
    np.testing.assert_array_equal(packed[0, 2], fitted["vectors"][2])
    np.testing.assert_array_equal(packed[0, 3:], 0)


def test_features_do_not_depend_on_padding(fitted, describe):
    long = describe(["it was good"])
    short = CnnText(features=7, words=3).apply(fitted, ["it was good"])
    np.testing.assert_allclose(short, long, atol=1e-6)
    vectors, mask = transcripts.pack(fitted, ["it was good"], 8)
    weights = {path: x for path, x in fitted.items() if path.startswith("params/")}
    variables = traverse_util.unflatten_dict(weights, sep="/")
    filled = np.where(mask[..., None], vectors, 99.0)
    other, _ = TextCNN(features=7, classes=2).apply(variables, (filled, mask), train=False)
    np.testing.assert_allclose(other, long, atol=1e-6)


def test_word_order_matters_and_unknown_words_are_zero(describe):
    first, second = describe(["it was bad", "bad was it"])
    assert np.abs(first - second).max() > 1e-3
    assert not describe(["zebra", ""]).any()


def test_tokens():
    text = "Well \u2014 I DON\u2019T know: 'caf\u00e9', no.1?!"
    assert transcripts.tokens(text) == ["well", "i", "don't", "know", "caf\u00e9", "no", "1"]
    assert transcripts.tokens(" ... ") == []


def fit(texts, features=3):
    return TfIdfText(features=features).fit(texts, TrainingData(np.zeros(0, np.int32)))


def apply(fitted, texts):
    return TfIdfText().apply(fitted, texts)


def test_tfidf_is_the_svd_of_scikit_learns():
    fitted, again = fit(TEXTS), fit(TEXTS)
    np.testing.assert_array_equal(fitted["components"], again["components"])
    vectorizer = TfidfVectorizer(vocabulary=fitted["vocabulary"].tolist(), token_pattern=r"\w+")
    weights = vectorizer.fit_transform(TEXTS).toarray()
    np.testing.assert_allclose(fitted["idf"], vectorizer.idf_, rtol=1e-6)
    _, _, directions = np.linalg.svd(weights, full_matrices=False)
    overlap = np.abs(fitted["components"].T @ directions[:3].T)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-6)
    for texts in (TEXTS, ["the cat out"], ["cat dog " * 9]):
        expected = vectorizer.transform(texts) @ fitted["components"]
        np.testing.assert_allclose(apply(fitted, texts), expected, atol=1e-6)


def test_tfidf_ignores_words_unknown_to_training():
    fitted = fit(TEXTS)
    np.testing.assert_array_equal(apply(fitted, ["cat zebra sat"]), apply(fitted, ["sat cat"]))
    np.testing.assert_array_equal(apply(fitted, ["zebra", ""]), np.zeros((2, 3)))


def test_tfidf_has_no_more_components_than_the_text_gives():
    assert apply(fit(TEXTS, 100), TEXTS).shape == (5, 4)
    # Repeated transcripts add no directions, but allow as many as there are.
    repeated = apply(fit(TEXTS * 3, 100), TEXTS)
    assert repeated.shape == (5, 5)
    assert np.abs(repeated).max(0).min() > 0.01
    for texts in (["one"], ["same", "same"], ["", ""]):
        with pytest.raises(InputError, match="training transcripts"):
            fit(texts, 2)
