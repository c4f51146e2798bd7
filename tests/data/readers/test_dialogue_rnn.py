import pickle

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests import iemocap_pickle


def parts(names=("b", "a", "c"), dims=(3, 2, 4)):
    """The 9-tuple as a list; conversation number i has i + 1 utterances."""
    sizes = {name: index + 1 for index, name in enumerate(names)}
    return [
        {name: [f"{name}{u}" for u in range(size)] for name, size in sizes.items()},
        {name: ["F", "M", "F"][:size] for name, size in sizes.items()},
        {name: [2, 0, 1][:size] for name, size in sizes.items()},
        *(
            {name: [np.full(dim, u + 0.5) for u in range(size)] for name, size in sizes.items()}
            for dim in dims
        ),
        {name: ["words"] * size for name, size in sizes.items()},
        list(names[:-1]),
        [names[-1]],
    ]


def read(tmp_path, value, protocol=4):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(tuple(value), protocol))
    return read_corpus(tmp_path / "x.pkl")


def test_order_modalities_and_names_by_hand(tmp_path):
    corpus = read(tmp_path, parts())
    assert corpus.conversation_ids == ("a", "b", "c")
    assert corpus.lengths.tolist() == [2, 1, 3]
    assert corpus.utterance_ids == ("a0", "a1", "b0", "c0", "c1", "c2")
    assert list(corpus.dims.items()) == [("speech", 2), ("visual", 4), ("text", 3)]
    assert corpus.features["visual"][:, 3].tolist() == [0.5, 1.5, 0.5, 0.5, 1.5, 2.5]
    assert corpus.labels.tolist() == [2, 0, 2, 2, 0, 1]
    assert corpus.label_names == ("0", "1", "2")
    assert corpus.speakers == ("a_F", "a_M", "b_F", "c_F", "c_M", "c_F")
    assert corpus.sessions is None
    assert corpus.split == ("train", "train", "test")
    assert corpus.source.endswith("x.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_iemocap_names_sessions_and_speakers(tmp_path, protocol):
    names = ("Ses01F_impro01", "Ses02M_script01_1", "Ses05F_impro01")
    corpus = read(tmp_path, parts(names), protocol)
    assert corpus.label_names == EMOTIONS
    assert corpus.sessions == ("Ses01", "Ses02", "Ses05")
    assert corpus.speakers[:3] == ("Ses01_F", "Ses02_F", "Ses02_M")


@pytest.mark.parametrize(("python2", "dims"), [(True, (100, 100, 512)), (False, (100, 1582, 342))])
def test_iemocap_shape(tmp_path, python2, dims):
    text, audio, visual = dims
    iemocap_pickle.write(tmp_path / "x.pkl", seed=1, dims=dims, python2=python2)
    corpus = read_corpus(tmp_path / "x.pkl")
    assert corpus.dims == {"speech": audio, "visual": visual, "text": text}
    train = np.repeat(corpus.split, corpus.lengths) == "train"
    assert (train.sum(), (~train).sum()) == (5810, 1623)
    assert (corpus.split.count("train"), corpus.split.count("test")) == (120, 31)
    made = iemocap_pickle.build(seed=1, dims=dims)
    at = corpus.conversation_ids.index("Ses03M_impro04")
    np.testing.assert_array_equal(
        corpus.features["visual"][corpus.utterances(at)], np.stack(made[5]["Ses03M_impro04"])
    )


def test_lists_bytes_integers_and_whole_arrays_are_read(tmp_path):
    value = parts((7, 8))
    value[0] = {7: [b"x"], 8: np.array(["y", "z"])}
    value[2] = {7: np.array([1.0]), 8: [np.int64(0), -1]}
    value[3] = {7: [[1, 2.5, np.float32(3)]], 8: np.ones((2, 3), np.float32)}
    corpus = read(tmp_path, value)
    assert corpus.conversation_ids == ("7", "8")
    assert corpus.utterance_ids == ("x", "y", "z")
    assert corpus.labels.tolist() == [1, 0, -1]
    assert corpus.features["text"].tolist() == [[1, 2.5, 3], [1, 1, 1], [1, 1, 1]]


def test_the_longest_ids_and_the_largest_label_are_read(tmp_path):
    value = parts()
    value[0]["a"], value[2]["b"] = ["u" * 1000, 2**64 - 1], [999]
    corpus = read(tmp_path, value)
    assert corpus.utterance_ids[:2] == ("u" * 1000, str(2**64 - 1))
    assert corpus.labels[2] == 999


def test_conversations_in_no_split_are_left_out(tmp_path):
    value = parts()
    value[7].remove("a")
    assert read(tmp_path, value).conversation_ids == ("b", "c")


def change(part, conversation, item):
    def apply(value):
        if conversation is None:
            value[part] = item
        else:
            value[part] = value[part] | {conversation: item}
        return value

    return apply


def remove(part, conversation):
    def apply(value):
        del value[part][conversation]
        return value

    return apply


nan = np.array([0, np.nan])
REFUSED = {
    "eleven parts": (lambda v: [*v, {}, {}], ["tuple of 11", "9-tuple"]),
    "another order": (
        lambda v: [*v[:6], v[7], v[6], v[8]],
        ["part 6 (sentences)", "list", "dict"],
    ),
    "both splits": (change(8, None, ["a", "c"]), ["conversation a", "two splits"]),
    "unknown in split": (change(8, None, ["zz"]), ["conversation zz", "test"]),
    "empty splits": (lambda v: [*v[:7], [], []], ["empty corpus"]),
    "a number for a split": (change(8, None, 5), ["test", "int"]),
    "missing entry": (remove(5, "a"), ["conversation a", "visual"]),
    "missing labels": (remove(2, "c"), ["conversation c", "labels"]),
    "no utterances": (change(0, "a", []), ["conversation a", "no utterances"]),
    "too few vectors": (change(4, "a", [[1, 2]]), ["conversation a", "speech", "1", "2"]),
    "text for vectors": (change(3, "b", ["words"]), ["b", "b0", "modality text", "vector"]),
    "matrix for a vector": (change(3, "b", [np.ones((1, 3))]), ["b0", "text", "(1, 3)"]),
    "scalar for a vector": (change(3, "b", np.ones(1)), ["b0", "text", "float64"]),
    "nested vector": (change(3, "b", [[[1.0]]]), ["b0", "modality text"]),
    "ragged utterances": (change(4, "a", [[1, 2], [1]]), ["a1", "speech", "1 features"]),
    "ragged conversations": (change(4, "b", [[1, 2, 3]]), ["conversation b", "speech", "3"]),
    "not finite": (change(4, "a", [np.ones(2), nan]), ["a1", "modality speech", "nan"]),
    "infinite as float32": (change(4, "b", [[1e300, 0]]), ["b0", "modality speech", "inf"]),
    "integer beyond floats": (change(4, "b", [[10**400, 0]]), ["b0", "speech", "too large"]),
    "label of text": (change(2, "b", ["happy"]), ["b0", "a str as a label"]),
    "label too large": (change(2, "b", [10**9]), ["b0", "label 1000000000 out of range"]),
    "label too small": (change(2, "b", [-2]), ["b0", "label -2 out of range"]),
    "label between": (change(2, "b", [0.5]), ["b0", "label 0.5"]),
    "two speakers at once": (change(1, "b", [[1, 1]]), ["b0", "2 speakers", "one-hot"]),
    "a speaker of fractions": (change(1, "b", [0.5]), ["b0", "float as a speaker"]),
    "more utterances than bytes": (
        change(0, "a", ["u"] * 5000),
        ["conversation a: more values than the file holds"],
    ),
    "an id in two forms": (
        lambda v: [v[0] | {b"a": ["u"]}, *v[1:]],
        ["part 0 (ids): a conversation id twice, as text and otherwise"],
    ),
    "text for a list": (change(0, "a", "uv"), ["ids: a str; expected a list with one item"]),
    "no axis": (change(2, "b", np.array(1)), ["labels: a ndarray; expected a list with one"]),
    "a fraction for an id": (change(0, "a", [1.5, 2.5]), ["ids: a float as an id"]),
    "a long number for an id": (
        change(0, "b", [2**64]),
        ["ids: an integer of 65 bits as an id; expected 64 at most"],
    ),
    "a long id": (
        change(0, "b", ["u" * 1001]),
        ["ids: an id of 1001 characters; expected at most 1000"],
    ),
    "label one too large": (change(2, "b", [1000]), ["b0", "label 1000 out of range"]),
    "utterance twice": (change(0, "a", ["u", "u"]), ["conversation a", "utterance u", "twice"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    with pytest.raises(InputError) as error:
        read(tmp_path, breaking(parts()))
    message = str(error.value)
    assert "\n" not in message
    for word in ["x.pkl", *words]:
        assert word in message


def test_iemocap_label_and_speaker_out_of_range(tmp_path):
    names = ("Ses01F_impro01", "Ses05F_impro01")
    with pytest.raises(InputError, match=r"Ses01F_impro010.*label 6 out of range"):
        read(tmp_path, change(2, names[0], [6])(parts(names)))
    with pytest.raises(InputError, match=r"Ses01F_impro010.*'X'.*M or F"):
        read(tmp_path, change(1, names[0], ["X"])(parts(names)))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "text", 5, [{}] * 3, []])
def test_another_object(tmp_path, value):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=f"a pickled {type(value).__name__}.*corpora.md"):
        read_corpus(tmp_path / "x.pkl")


def test_a_vector_referred_to_many_times_is_refused_before_it_is_copied(tmp_path):
    value = parts(("a", "b"))
    vector = np.zeros(100_000, np.float32)
    count = 20_000
    value[0]["a"] = [str(u) for u in range(count)]
    value[1]["a"], value[2]["a"] = ["F"] * count, [0] * count
    for part in (3, 4, 5):
        value[part]["a"] = [vector] * count
    with pytest.raises(InputError, match="more values than the file holds"):
        read(tmp_path, value)
