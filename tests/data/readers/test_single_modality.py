"""Pickles of one modality or one part: bc-LSTM's, MELD's vectors, MISA's."""

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests.data.readers import public, public_folders
from tests.data.readers.public import dump, refuses
from tests.data.readers.public_folders import lay


def read(tmp_path, value, protocol=4, **more):
    return read_corpus(dump(tmp_path / "x.pkl", value, protocol), **more)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("one_hot", [False, True])
def test_bc_lstm_by_hand(tmp_path, one_hot, protocol):
    corpus = read(tmp_path, public.bc_lstm_pickle(one_hot), protocol)
    assert corpus.conversation_ids == ("train000", "train001", "test000")
    assert corpus.lengths.tolist() == [3, 2, 1]
    assert corpus.labels.tolist() == [0, 1, 0, 1, 1, 1]
    assert corpus.label_names == ("negative", "positive")
    assert corpus.features["features"][:, 0].tolist() == [0, 3, 6, 9, 12, 0]
    assert corpus.split == ("train", "train", "test")


def test_bc_lstm_of_several_modalities_join(tmp_path):
    other = list(public.bc_lstm_pickle())
    other[0], other[2] = other[0][..., :2] + 100, other[2][..., :2] + 100
    dump(tmp_path / "audio.pkl", tuple(other))
    corpus = read(tmp_path, public.bc_lstm_pickle(), join={"speech": tmp_path / "audio.pkl"})
    assert corpus.dims == {"features": 3, "speech": 2}
    assert corpus.features["speech"][:, 0].tolist() == [100, 103, 106, 109, 112, 100]


def test_meld_vectors_by_hand(tmp_path):
    corpus = read(tmp_path, public.meld_vectors())
    assert corpus.conversation_ids == ("0000", "0001", "1039", "1153")
    assert corpus.features["features"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert corpus.split == ("train", "train", "valid", "test")
    assert corpus.labels.tolist() == [-1] * 5
    assert corpus.label_names == ()
    by_dialogue = read(tmp_path, public.meld_vectors(by_dialogue=True))
    assert by_dialogue.lengths.tolist() == [2, 2, 2, 2]
    assert by_dialogue.features["features"][1].tolist() == [0, 0, 4]


def test_meld_vectors_that_are_numbered_through(tmp_path):
    train, valid, _ = public.meld_vectors()
    valid = {"1039_0": valid["0_0"]}
    corpus = read(tmp_path, [train, valid, {1153: np.ones((1, 3), np.float32)}])
    assert corpus.conversation_ids == ("0000", "0001", "1039", "1153")


def test_meld_vectors_join_its_lists(tmp_path):
    lay(tmp_path / "meld", public_folders.meld_csv())
    dump(tmp_path / "x.pkl", public.meld_vectors())
    corpus = read_corpus(tmp_path / "meld", join={"glove": tmp_path / "x.pkl"})
    assert list(corpus.dims) == ["glove"]
    assert corpus.features["glove"][:, 0].tolist() == [0, 1, 3, 4]
    assert corpus.label_names[corpus.labels[0]] == "surprise"


def test_misa_file_and_folder_by_hand(tmp_path):
    corpus = read(tmp_path, public.misa())
    assert corpus.utterance_ids == ("va[8]", "va[9]", "va[10]")
    assert corpus.targets["sentiment"].tolist() == [1, 0, -1]
    assert corpus.labels.tolist() == [2, 1, 0]
    assert corpus.features["visual"][:, 0].tolist() == [2, 1, 0]
    assert corpus.present["speech"].tolist() == [False, True, False]
    assert corpus.split is None
    lay(tmp_path / "mosi", public_folders.FOLDERS["misa"]())
    whole = read_corpus(tmp_path / "mosi")
    assert whole.conversation_ids == ("vtrain", "vdev", "vtest")
    assert whole.split == ("train", "valid", "test")
    seven = read(tmp_path, public.misa(emotions=True))
    assert seven.targets["fear"].tolist() == [0.5] * 3


def swap(position, value):
    return lambda made: (*made[:position], value, *made[position + 1 :])


def visual(array):
    def apply(made):
        (words, _, *more), label, segment = made[1]
        made[1] = ((words, array, *more), label, segment)
        return made

    return apply


REFUSED = {
    "bc-lstm": {
        "beyond": (swap(5, [4, 2]), ["part 5 (train lengths): row 0", "length 4", "0 to 3"]),
        "none": (swap(6, [0]), ["test lengths", "without utterances"]),
        "labels": (swap(1, np.zeros((2, 4))), ["train labels", "(2, 4)", "(2, 3)"]),
        "a label": (swap(1, np.full((2, 3), 0.5)), ["train000, utterance 0", "label 0.5"]),
        "text": (swap(1, np.array([["a"] * 3] * 2)), ["train labels", "numbers"]),
        "rank": (swap(2, np.zeros((1, 3))), ["part 2 (test)", "(1, 3)"]),
        "widths": (swap(2, np.zeros((1, 3, 4))), ["test000", "4 features", "3, as"]),
    },
    "meld vectors": {
        "a key": (lambda v: [{**v[0], "a": np.ones(3)}, *v[1:]], ["train", "key 'a'"]),
        "a key of lists": (lambda v: [{**v[0], (1, 2): np.ones(3)}, *v[1:]], ["tuple as a key"]),
        "a width": (lambda v: [*v[:2], {"0_0": np.ones(2)}], ["test: dialogue 1153", "2 features"]),
        "a matrix": (lambda v: [*v[:2], {"0_0": np.ones((2, 3))}], ["test: 0_0", "vector"]),
        "nothing": (lambda v: [*v[:2], {"0": np.zeros((2, 3))}], ["test: 0", "without utterances"]),
    },
    "misa": {
        "a segment": (lambda v: [(*v[0][:2], "va"), *v[1:]], ["item 0: id 'va'", "video["]),
        "an item": (lambda v: [*v, 5], ["item 3", "a int"]),
        "labels": (lambda v: [(v[0][0], np.ones((1, 2)), v[0][2])], ["item 0", "2 numbers"]),
        "frames": (visual(np.ones(3)), ["item 1", "modality visual", "(3,)"]),
        "a list": (visual([1, 2]), ["item 1", "modality visual", "list"]),
        "a width": (visual(np.ones((2, 5))), ["item 1", "5 features", "3, as"]),
    },
}


@pytest.mark.parametrize(
    ("layout", "name"), [(layout, name) for layout, names in REFUSED.items() for name in names]
)
def test_refused(tmp_path, layout, name):
    breaking, words = REFUSED[layout][name]
    refuses(lambda: read(tmp_path, breaking(public.PICKLES[layout]())), ["x.pkl", *words])


def test_what_is_referred_to_again_and_again_is_refused(tmp_path):
    vector, frames = np.ones(50_000, np.float32), np.ones((500, 100), np.float32)
    for value in (
        [{f"{d}_{u}": vector for d in range(40) for u in range(40)}, {"0_0": vector}, {}],
        [((np.arange(1), frames, frames, ["a"]), np.ones((1, 1)), f"v[{u}]") for u in range(2000)],
    ):
        with pytest.raises(InputError, match="more values than the file holds"):
            read(tmp_path, value)
