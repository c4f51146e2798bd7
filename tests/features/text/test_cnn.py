import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import classifier
from mman_jax.features.text import cnn

WORDS = ("bad", "fine", "good", "it", "was", "week")


@pytest.fixture(scope="module")
def embedding():
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
    return cnn.Embedding(np.array(WORDS), vectors, words=8)


@pytest.fixture(scope="module")
def network():
    return cnn.TextCNN(features=7, classes=2, maps=4)


@pytest.fixture(scope="module")
def variables(network, embedding):
    start = network.init(jax.random.key(0), embedding.apply(["good"]), train=False)
    # As after training: biases that make padding look like something, were it looked at.
    return jax.tree.map(lambda x: x + 0.5 if x.ndim == 1 else x, start)


def test_embedding_pads_cuts_and_skips(embedding):
    laid, mask = embedding.apply(["It was zebra GOOD!", "good " * 20, ""])
    assert laid.shape == (3, 8, 5)
    assert mask.sum(1).tolist() == [3, 8, 0]
    np.testing.assert_array_equal(laid[0, 2], embedding.vectors[2])
    np.testing.assert_array_equal(laid[0, 3:], 0)


def test_features_do_not_depend_on_the_padding(network, variables, embedding):
    vectors, mask = embedding.apply(["it was good"])
    short, _ = network.apply(variables, (vectors[:, :3], mask[:, :3]), train=False)
    long, _ = network.apply(variables, (vectors, mask), train=False)
    np.testing.assert_allclose(short, long, atol=1e-6)
    filled = np.where(mask[..., None], vectors, 99.0)
    other, _ = network.apply(variables, (filled, mask), train=False)
    np.testing.assert_allclose(other, long, atol=1e-6)


def test_word_order_matters(network, variables, embedding):
    first, second = cnn.describe(network, variables, embedding, ["it was bad", "bad was it"])
    assert np.abs(first - second).max() > 1e-3


def test_one_transcript_alone_gives_what_it_gives_among_others(network, variables, embedding):
    texts = [f"{WORDS[i % 6]} {WORDS[i % 5]} {WORDS[i % 4]}" for i in range(70)]
    together = cnn.describe(network, variables, embedding, texts)
    assert together.shape == (70, 7)
    for i in (0, 33, 69):
        alone = cnn.describe(network, variables, embedding, [texts[i]])
        np.testing.assert_array_equal(alone[0], together[i])


def test_without_a_known_word_the_features_are_zeros(network, variables, embedding):
    assert not cnn.describe(network, variables, embedding, ["zebra", ""]).any()


def test_it_learns_what_words_say(network, embedding):
    texts = ["good week", "it was good", "bad week", "it was bad"] * 4
    labels = np.array([0, 0, 1, 1] * 4, np.int32)
    laid, mask = embedding.apply(texts)
    found = classifier.fit(
        network, lambda i, _: (laid[i], mask[i]), labels, classifier.Recipe(60, 8, 1e-2, 0)
    )
    _, logits = network.apply(found, embedding.apply(["good it", "it week bad"]), train=False)
    assert logits.argmax(-1).tolist() == [0, 1]


def test_settings_refused():
    for field in ("features", "words", "epochs"):
        with pytest.raises(InputError, match=field):
            cnn.TextSettings(**{field: 0})
    with pytest.raises(InputError, match="text frequent: -1; expected 0 or more"):
        cnn.TextSettings(frequent=-1)
    assert cnn.TextSettings(frequent=0, features=1, words=1, epochs=1).frequent == 0
