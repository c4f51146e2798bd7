import numpy as np

from mman_jax.features import cells
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text import tfidf
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.timed_words import TimedWords

SAID = [Utterance("c", f"u{i}", "c.wav") for i in range(3)]


def test_words_have_the_vectors_of_the_file():
    table = {"vocabulary": np.array(["it's", "sun"]), "vectors": np.eye(2, 3, dtype=np.float32)}
    made = Extraction(Settings(text=TextSettings("cnn")), {"text": table})
    found = cells.word_vectors(made, ["Sun,", "rain", "It\u2019s"])
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_without_a_file_words_are_where_tfidf_places_them():
    fitted = tfidf.fit(["sun and rain", "rain and wind", "sun", "wind and snow"], 2)
    made = Extraction(Settings(text=TextSettings(features=2)), {"text": vars(fitted)})
    found = cells.word_vectors(made, ["rain", "hail", "Sun"])
    row = fitted.components[fitted.vocabulary.tolist().index("rain")]
    np.testing.assert_allclose(found[0], row, rtol=1e-6)
    assert not found[1].any()
    # A transcript is where the weighted sum of its words is.
    weights = [fitted.idf[fitted.vocabulary.tolist().index(word)] for word in ("rain", "sun")]
    both = weights @ found[[0, 2]] / np.linalg.norm(weights)
    np.testing.assert_allclose(made.apply("text", ["sun rain"])[0], both, rtol=1e-5)


def test_sequences_of_several_utterances():
    table = {"vocabulary": np.array(["sun"]), "vectors": np.ones((1, 2), np.float32)}
    settings = Settings(speech=SpeechSettings(), text=TextSettings("cnn"))
    made = Extraction(settings, {"speech": {}, "text": table})
    frames = [np.full((n, 25), n, np.float32) for n in (3, 1, 2)]
    words = {SAID[2]: TimedWords(("sun", "rain"), np.array([[0, 0.5], [0.5, 1]]))}
    found = cells.sequences(made, SAID, {}, {"speech": frames}, words)
    assert found.keys() == {"speech", "text"}
    assert found["text"].lengths.tolist() == [0, 0, 2]
    assert found["text"].names == ("sun", "rain")
    assert found["text"].values.tolist() == [[1, 1], [0, 0]]
    np.testing.assert_array_equal(found["text"].intervals, [[0, 0.5], [0.5, 1]])
    assert found["speech"].lengths.tolist() == [3, 1, 2]
    np.testing.assert_allclose(found["speech"].intervals[:, 0], [0, 0.01, 0.02, 0, 0, 0.01])
    assert found["speech"].values[:, 0].tolist() == [3, 3, 3, 1, 2, 2]
    assert cells.sequences(made, SAID, {}, {}, {}) == {}


def test_of_windows_each_by_itself():
    made = Extraction(Settings(), {"visual": {"params/stem_conv/kernel": np.ones(1)}})
    measured = [np.arange(4, dtype=np.float32).reshape(2, 2), np.ones((1, 2), np.float32)]
    times = [np.array([[0, 0.2], [0.3, 0.5]]), np.array([[0.1, 0.3]])]
    found = cells.sequences(made, SAID[:2], {"visual": measured}, {"visual": times}, {})["visual"]
    np.testing.assert_array_equal(found.values, [[0, 1], [2, 3], [1, 1]])
    np.testing.assert_array_equal(found.intervals, np.concatenate(times))
    np.testing.assert_array_equal(made.apply("visual", measured), [[1, 2], [1, 1]])
