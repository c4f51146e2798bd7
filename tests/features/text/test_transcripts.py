import jax
import numpy as np
import pytest
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.features import classifier
from mman_jax.features.extractor import TrainingData
from mman_jax.features.text import transcripts
from mman_jax.features.text.transcripts import CnnText, TextCNN, TfIdfText

NO_LABELS = TrainingData(np.zeros(0, np.int32))
TEXTS = ["the cat sat", "the dog sat down", "a cat and a dog", "the end", "down and out"]
WORDS = ("bad", "fine", "good", "it", "was", "week")


@pytest.fixture(scope="module")
def fitted():
    """As after training: biases that make padding look like something, were it looked at."""
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


def test_transcripts_are_padded_cut_and_unknown_words_skipped(fitted):
    packed, mask = transcripts.pack(fitted, ["It was zebra GOOD!", "good " * 20, ""], 8)
    assert packed.shape == (3, 8, 5)
    assert mask.sum(1).tolist() == [3, 8, 0]
    np.testing.assert_array_equal(packed[0, 2], fitted["vectors"][2])
    np.testing.assert_array_equal(packed[0, 3:], 0)


def test_features_do_not_depend_on_the_padding(fitted, describe):
    long = describe(["it was good"])
    short = CnnText(features=7, words=3).apply(fitted, ["it was good"])
    np.testing.assert_allclose(short, long, atol=1e-6)
    vectors, mask = transcripts.pack(fitted, ["it was good"], 8)
    weights = {path: x for path, x in fitted.items() if path.startswith("params/")}
    variables = traverse_util.unflatten_dict(weights, sep="/")
    filled = np.where(mask[..., None], vectors, 99.0)
    other, _ = TextCNN(features=7, classes=2).apply(variables, (filled, mask), train=False)
    np.testing.assert_allclose(other, long, atol=1e-6)


def test_word_order_matters_and_unknown_words_are_zeros(describe):
    first, second = describe(["it was bad", "bad was it"])
    assert np.abs(first - second).max() > 1e-3
    assert not describe(["zebra", ""]).any()


def test_one_transcript_alone_gives_what_it_gives_among_others(describe):
    texts = [f"{WORDS[i % 6]} {WORDS[i % 5]} {WORDS[i % 4]}" for i in range(70)]
    together = describe(texts)
    assert together.shape == (70, 7)
    for i in (0, 33, 69):
        np.testing.assert_array_equal(describe([texts[i]])[0], together[i])


def test_it_learns_what_words_say(fitted):
    texts = ["good week", "it was good", "bad week", "it was bad"] * 4
    labels = np.array([0, 0, 1, 1] * 4, np.int32)
    packed, mask = transcripts.pack(fitted, texts, 8)
    network, recipe = TextCNN(features=7, classes=2, maps=4), classifier.Recipe(60, 8, 1e-2, 0)
    found = classifier.fit(network, lambda i, _: (packed[i], mask[i]), labels, recipe)
    inputs = transcripts.pack(fitted, ["good it", "it week bad"], 8)
    _, logits = network.apply(found, inputs, train=False)
    assert logits.argmax(-1).tolist() == [0, 1]


@pytest.mark.parametrize("text", [CnnText, TfIdfText])
def test_settings_refused(text):
    for field in ("features", "words", "epochs"):
        with pytest.raises(InputError, match=field):
            text(**{field: 0})
    with pytest.raises(InputError, match="text frequent: -1"):
        text(frequent=-1)
    assert text(frequent=0, features=1, words=1, epochs=1).frequent == 0


def test_tokens():
    assert transcripts.tokens("Well \u2014 I DON\u2019T know: 'caf\u00e9', no.1?!") == [
        "well", "i", "don't", "know", "caf\u00e9", "no", "1",
    ]  # fmt: skip
    assert transcripts.tokens(" ... ") == []


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


def fit(texts, features):
    return TfIdfText(features=features).fit(texts, NO_LABELS)


def apply(fitted, texts):
    return TfIdfText().apply(fitted, texts)


def test_tfidf_is_the_svd_of_its_definition():
    fitted, again = fit(TEXTS, 3), fit(TEXTS, 3)
    np.testing.assert_array_equal(fitted["components"], again["components"])
    weights = dense(TEXTS, fitted["vocabulary"], TEXTS)
    _, _, directions = np.linalg.svd(weights, full_matrices=False)
    np.testing.assert_allclose(
        np.abs(fitted["components"].T @ directions[:3].T), np.eye(3), atol=1e-6
    )
    np.testing.assert_allclose(apply(fitted, TEXTS), weights @ fitted["components"], atol=1e-6)
    new = "the cat out"
    expected = dense([new], fitted["vocabulary"], TEXTS) @ fitted["components"]
    np.testing.assert_allclose(apply(fitted, [new]), expected, atol=1e-6)


def test_words_unknown_to_training_change_nothing_but_are_no_error():
    fitted = fit(TEXTS, 3)
    np.testing.assert_array_equal(apply(fitted, ["cat zebra sat"]), apply(fitted, ["sat cat"]))
    np.testing.assert_array_equal(apply(fitted, ["zebra", ""]), np.zeros((2, 3)))


def test_rarer_words_weigh_more():
    fitted = fit(TEXTS, 3)
    idf = dict(zip(fitted["vocabulary"].tolist(), fitted["idf"], strict=True))
    assert idf["the"] < idf["cat"] < idf["end"]


def test_long_and_repeated_transcripts_weigh_alike():
    fitted = fit(TEXTS, 3)
    np.testing.assert_allclose(
        apply(fitted, ["cat dog"]), apply(fitted, ["cat dog " * 9]), atol=1e-6
    )


def test_no_more_components_than_there_is_text():
    assert apply(fit(TEXTS, 100), TEXTS).shape == (5, 4)
    # Transcripts that repeat point in no more directions than they do once.
    again = apply(fit(TEXTS * 3, 100), TEXTS)
    assert again.shape == (5, 5)
    assert np.abs(again).max(0).min() > 0.01
    for texts in (["one"], ["same", "same"], ["", ""]):
        with pytest.raises(InputError, match="training transcripts"):
            fit(texts, 2)
