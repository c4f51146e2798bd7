"""Pickles of one modality or one part: bc-LSTM's, MELD's vectors and MISA's."""

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public, public_folders
from tests.data.readers.public import dump
from tests.data.readers.public_folders import lay
from tests.data.small import refuses


def read(tmp_path, value, **more):
    return read_corpus(dump(tmp_path / "x.pkl", value), **more)


@pytest.mark.parametrize("one_hot", [False, True])
def test_bc_lstm_by_hand(tmp_path, one_hot):
    corpus = read(tmp_path, public.bc_lstm_pickle(one_hot))
    assert corpus.conversation_ids == ("train000", "train001", "test000")
    assert corpus.lengths.tolist() == [3, 2, 1]
    assert corpus.labels.tolist() == [0, 1, 0, 1, 1, 1]
    assert corpus.label_names == ("negative", "positive")
    assert corpus.features["features"][:, 0].tolist() == [0, 3, 6, 9, 12, 0]
    assert corpus.split == ("train", "train", "test")


def test_modalities_of_bc_lstm_are_joined(tmp_path):
    other = list(public.bc_lstm_pickle())
    other[0], other[2] = other[0][..., :2] + 100, other[2][..., :2] + 100
    path = dump(tmp_path / "audio.pkl", tuple(other))
    corpus = read(tmp_path, public.bc_lstm_pickle(), join={"speech": path})
    assert corpus.dims == {"features": 3, "speech": 2}
    assert corpus.features["speech"][:, 0].tolist() == [100, 103, 106, 109, 112, 100]


def test_meld_vectors_by_hand(tmp_path):
    names = ("0000", "0001", "1039", "1153")
    corpus = read(tmp_path, public.meld_vectors())
    assert corpus.conversation_ids == names
    assert corpus.features["features"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert corpus.split == ("train", "train", "valid", "test")
    assert corpus.labels.tolist() == [-1] * 5
    assert corpus.label_names == ()
    by_dialogue = read(tmp_path, public.meld_vectors(by_dialogue=True))
    assert by_dialogue.lengths.tolist() == [2, 2, 2, 2]
    assert by_dialogue.features["features"][1].tolist() == [0, 0, 4]
    train, valid, _ = public.meld_vectors()  # dialogues numbered across parts
    numbered = [train, {"1039_0": valid["0_0"]}, {1153: np.ones((1, 3), np.float32)}]
    assert read(tmp_path, numbered).conversation_ids == names


def test_meld_vectors_are_joined_to_its_lists(tmp_path):
    lay(tmp_path / "meld", public_folders.meld_csv())
    path = dump(tmp_path / "x.pkl", public.meld_vectors())
    corpus = read_corpus(tmp_path / "meld", join={"glove": path})
    assert list(corpus.dims) == ["glove"]
    assert corpus.features["glove"][:, 0].tolist() == [0, 1, 3, 4]
    assert corpus.label_names[corpus.labels[0]] == "surprise"


def test_misa_by_hand(tmp_path):
    corpus = read(tmp_path, public.misa(), pool=None)
    assert corpus.utterance_ids == ("va[8]", "va[9]", "va[10]")
    assert corpus.targets["sentiment"].tolist() == [1, 0, -1]
    assert corpus.labels.tolist() == [2, 1, 0]
    assert corpus.features["visual"][:, 0].tolist() == [2, 1, 0]
    assert corpus.present["speech"].tolist() == [False, True, False]
    assert corpus.split is None
    assert corpus.sequences["speech"].lengths.tolist() == [0, 2, 0]
    assert corpus.sequences["visual"].lengths.tolist() == [3, 2, 1]
    assert corpus.sequences["visual"].values[:, 0].tolist() == [2, 2, 2, 1, 1, 0]
    folder = read_corpus(lay(tmp_path / "mosi", public_folders.FOLDERS["misa"]()))
    assert folder.conversation_ids == ("vtrain", "vdev", "vtest")
    assert folder.split == ("train", "valid", "test")
    assert read(tmp_path, public.misa(emotions=True)).targets["fear"].tolist() == [0.5] * 3


def swap(position, value):
    return lambda made: (*made[:position], value, *made[position + 1 :])


def visual(array):
    def apply(made):
        (words, _, *more), label, segment = made[1]
        made[1] = ((words, array, *more), label, segment)
        return made

    return apply


REFUSED = [
    ("bc-lstm", swap(5, [4, 2]), ["part 5 (train lengths): row 0", "length 4", "0 to 3"]),
    ("bc-lstm", swap(6, [0]), ["test lengths", "without utterances"]),
    ("bc-lstm", swap(1, np.zeros((2, 4))), ["train labels", "(2, 4)", "(2, 3)"]),
    ("bc-lstm", swap(1, np.full((2, 3), 0.5)), ["train000, utterance 0", "label 0.5"]),
    ("bc-lstm", swap(1, np.array([["a"] * 3] * 2)), ["train labels", "numbers"]),
    ("bc-lstm", swap(2, np.zeros((1, 3))), ["part 2 (test)", "(1, 3)"]),
    ("bc-lstm", swap(2, np.zeros((1, 3, 4))), ["test000", "4 features", "3, as"]),
    ("meld vectors", lambda v: [{**v[0], "a": np.ones(3)}, *v[1:]], ["train", "key 'a'"]),
    ("meld vectors", lambda v: [{**v[0], (1, 2): np.ones(3)}, *v[1:]], ["tuple as a key"]),
    ("meld vectors", lambda v: [*v[:2], {"0_0": np.ones(2)}], ["dialogue 1153", "2 features"]),
    ("meld vectors", lambda v: [*v[:2], {"0_0": np.ones((2, 3))}], ["test: 0_0", "vector"]),
    ("meld vectors", lambda v: [*v[:2], {"0": np.zeros((2, 3))}], ["test: 0", "without utter"]),
    ("misa", lambda v: [(*v[0][:2], "va"), *v[1:]], ["item 0: id 'va'", "video["]),
    ("misa", lambda v: [*v, 5], ["item 3", "a int"]),
    ("misa", lambda v: [(v[0][0], np.ones((1, 2)), v[0][2])], ["item 0", "2 numbers"]),
    ("misa", visual(np.ones(3)), ["item 1", "modality visual", "(3,)"]),
    ("misa", visual([1, 2]), ["item 1", "modality visual", "list"]),
    ("misa", visual(np.ones((2, 5))), ["item 1", "5 features", "3, as"]),
]


@pytest.mark.parametrize(("layout", "breaking", "words"), REFUSED)
def test_malformed_pickles_are_refused(tmp_path, layout, breaking, words):
    refuses(lambda: read(tmp_path, breaking(public.PICKLES[layout]())), "x.pkl", *words)


def test_shared_values_are_refused_before_they_are_copied(tmp_path):
    vector, frames = np.ones(50_000, np.float32), np.ones((500, 100), np.float32)
    for value in (
        [{f"{d}_{u}": vector for d in range(40) for u in range(40)}, {"0_0": vector}, {}],
        [((np.arange(1), frames, frames, ["a"]), np.ones((1, 1)), f"v[{u}]") for u in range(2000)],
    ):
        refuses(lambda value=value: read(tmp_path, value), "more values than the file holds")
