import numpy as np
import pytest

from mman_jax.data.readers.read import joined, read_corpus
from mman_jax.errors import InputError
from tests.data.readers import public
from tests.data.readers.public import refuses


def written(folder, arrays):
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def test_words_by_hand(tmp_path):
    corpus = read_corpus(written(tmp_path, public.mfn()), pool=None)
    assert corpus.conversation_ids == ("train00000", "train00001", "valid00000", "test00000")
    assert corpus.split == ("train", "train", "valid", "test")
    assert set(corpus.dims) == {"speech", "visual"}  # training has no text
    # The second utterance's second word has a face alone, and its fourth row is padding.
    speech = corpus.sequences["speech"]
    assert speech.lengths.tolist() == [4, 3, 2, 1]
    assert speech.values[4:7].tolist() == [[5, 5], [0, 0], [7, 7]]
    assert corpus.sequences["visual"].values[4:7, 0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(corpus.features["speech"][1], [4, 4])
    assert corpus.targets["sentiment"].tolist() == [1, 3.5, 5, 3]
    assert corpus.label_names == ("negative", "positive")
    assert corpus.labels.tolist() == [0, 1, 1, 0]
    notes = " ".join(corpus.source_notes)
    assert "text: left out" in notes
    assert "positive from 3.5 of 5" in notes
    assert corpus.sequences["speech"].intervals is None


def test_numbers_on_both_sides_of_nothing_have_a_sign(tmp_path):
    made = public.mfn()
    made |= {"mmmo_y_train": np.float32([[-2], [0]]), "mmmo_y_test": np.float32([np.nan])}
    corpus = read_corpus(written(tmp_path, made))
    assert corpus.label_names == ("negative", "neutral", "positive")
    assert corpus.labels.tolist() == [0, 1, 2, -1]
    assert not corpus.sequences or set(corpus.sequences) == {"speech", "visual"}


def test_other_names_of_the_same(tmp_path):
    made = {
        key.replace("mmmo_", "").replace("video", "vision").replace("valid", "dev"): array
        for key, array in public.mfn().items()
    }
    corpus = read_corpus(written(tmp_path, made))
    assert corpus.split == ("train", "train", "valid", "test")
    assert set(joined(tmp_path / "x.npz", "mean").dims) == {"speech", "visual"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mmmo_y_train": np.float32([1, 2, 3])}, ["train: y", "3"]),
        ({"mmmo_y_train": np.array(["a", "b"])}, ["train: y"]),
        ({"mmmo_audio_test": np.ones((1, 5, 2), "float32")}, ["test", "words", "as many"]),
        ({"mmmo_audio_test": np.ones((1, 4, 3), "float32")}, ["audio", "as many features"]),
        ({"mmmo_audio_test": np.ones((2, 4, 2), "float32")}, ["test: vision", "1 utterances"]),
        ({"mmmo_audio_test": np.ones((1, 2), "float32")}, ["test: audio", "[N, T, D]"]),
        ({"mmmo_vision_test": np.ones((1, 4, 1), "float32")}, ["a modality twice"]),
        ({"mmmo_audio_dev": np.ones((1, 4, 2), "float32")}, ["dev", "a part twice"]),
    ],
)
def test_refused_in_a_line(changed, said, tmp_path):
    path = written(tmp_path, public.mfn() | changed)
    refuses(lambda: read_corpus(path), (str(path), *said))


def test_a_corpus_of_one_s_own_is_none_of_these(tmp_path):
    path = written(tmp_path, public.mfn() | {"labels": np.zeros(4, int)})
    with pytest.raises(InputError, match="unknown key"):
        read_corpus(path)


def test_ratings_that_no_review_has_are_no_scale_of_reviews(tmp_path):
    made = public.mfn()
    for part, own in {"train": [1, 2], "valid": [3], "test": [1]}.items():
        made[f"mmmo_y_{part}"] = np.float32(own)
    assert read_corpus(written(tmp_path, made)).label_names == ("negative", "neutral", "positive")
    made |= {key: np.full_like(x, np.nan) for key, x in made.items() if "_y_" in key}
    assert set(read_corpus(written(tmp_path, made)).labels.tolist()) == {-1}
