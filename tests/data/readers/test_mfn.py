import numpy as np
import pytest

from mman_jax.data.readers.read import joined, read_corpus
from tests.data.readers import public
from tests.data.small import refuses


@pytest.fixture
def written(tmp_path):
    """Writes the archive with some arrays replaced."""

    def write(**changes):
        np.savez(tmp_path / "x.npz", **(public.mfn() | changes))
        return tmp_path / "x.npz"

    return write


def ratings(*, train, valid, test):
    several = {"train": train, "valid": valid, "test": test}
    return {f"mmmo_y_{part}": np.float32(values) for part, values in several.items()}


def test_words_by_hand(written):
    corpus = read_corpus(written(), pool=None)
    assert corpus.conversation_ids == ("train00000", "train00001", "valid00000", "test00000")
    assert corpus.split == ("train", "train", "valid", "test")
    assert set(corpus.dims) == {"speech", "visual"}  # training has no text
    # The second word of the second utterance has only a face; the fourth row is padding.
    speech = corpus.sequences["speech"]
    assert speech.lengths.tolist() == [4, 3, 2, 1]
    assert speech.values[4:7].tolist() == [[5, 5], [0, 0], [7, 7]]
    assert speech.intervals is None
    assert corpus.sequences["visual"].values[4:7, 0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(corpus.features["speech"][1], [4, 4])
    assert corpus.targets["sentiment"].tolist() == [1, 3.5, 5, 3]
    assert corpus.label_names == ("negative", "positive")
    assert corpus.labels.tolist() == [0, 1, 1, 0]
    notes = " ".join(corpus.source_notes)
    assert "text: left out" in notes
    assert "positive from 3.5 of 5" in notes


def test_ratings_outside_the_scale_of_reviews_are_labelled_by_sign(written):
    signs = ("negative", "neutral", "positive")
    corpus = read_corpus(written(**ratings(train=[[-2], [0]], valid=[5], test=[np.nan])))
    assert corpus.label_names == signs
    assert corpus.labels.tolist() == [0, 1, 2, -1]
    corpus = read_corpus(written(**ratings(train=[1, 2], valid=[3], test=[1])))
    assert corpus.label_names == signs
    nothing = ratings(train=[np.nan] * 2, valid=[np.nan], test=[np.nan])
    assert set(read_corpus(written(**nothing)).labels.tolist()) == {-1}


def test_other_names_of_parts_and_modalities(tmp_path):
    names = (("mmmo_", ""), ("video", "vision"), ("valid", "dev"))
    made = {}
    for key, array in public.mfn().items():
        for old, new in names:
            key = key.replace(old, new)
        made[key] = array
    np.savez(tmp_path / "x.npz", **made)
    assert read_corpus(tmp_path / "x.npz").split == ("train", "train", "valid", "test")
    assert set(joined(tmp_path / "x.npz", "mean").dims) == {"speech", "visual"}


REFUSED = [
    ("mmmo_y_train", np.float32([1, 2, 3]), ["train: y", "3"]),
    ("mmmo_y_train", np.array(["a", "b"]), ["train: y"]),
    ("mmmo_audio_test", np.ones((1, 5, 2), "f4"), ["test", "words", "same number"]),
    ("mmmo_audio_test", np.ones((1, 4, 3), "f4"), ["audio", "as many features in all parts"]),
    ("mmmo_audio_test", np.ones((2, 4, 2), "f4"), ["test: vision", "1 utterances"]),
    ("mmmo_audio_test", np.ones((1, 2), "f4"), ["test: audio", "[N, T, D]"]),
    ("mmmo_vision_test", np.ones((1, 4, 1), "f4"), ["a modality twice"]),
    ("mmmo_audio_dev", np.ones((1, 4, 2), "f4"), ["dev", "a part twice"]),
    ("labels", np.zeros(4, int), ["unknown key"]),  # a corpus in the format of this package
]


@pytest.mark.parametrize(("key", "array", "words"), REFUSED)
def test_malformed_archives_are_refused(key, array, words, written):
    path = written(**{key: array})
    refuses(lambda: read_corpus(path), str(path), *words)
