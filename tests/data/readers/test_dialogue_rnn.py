"""The 9-tuple of DialogueRNN and its relatives, each recognised by its parts."""

import pickle

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import meld
from mman_jax.data.readers.read import read_corpus
from tests import iemocap_pickle
from tests.data.readers import public
from tests.data.readers.public import dump
from tests.data.small import refuses


def parts(names=("b", "a", "c"), dims=(3, 2, 4)):
    """The 9-tuple as a list; conversation number i has i + 1 utterances."""
    vectors = [public.by(names, lambda _, u, d=d: np.full(d, u + 0.5)) for d in dims]
    return [
        {name: [f"{name}{u}" for u in range(i + 1)] for i, name in enumerate(names)},
        public.by(names, lambda _, u: "FMF"[u]),
        public.by(names, lambda _, u: (2, 0, 1)[u]),
        *vectors,
        public.by(names, lambda *_: "words"),
        list(names[:-1]),
        [names[-1]],
    ]


def read(tmp_path, value, **more):
    return read_corpus(dump(tmp_path / "x.pkl", tuple(value)), **more)


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
    value = parts()
    value[7].remove("a")  # a conversation in neither part
    assert read(tmp_path, value).conversation_ids == ("b", "c")


def test_iemocap(tmp_path):
    dims = (2, 3, 4)
    iemocap_pickle.write(tmp_path / "x.pkl", seed=1, dims=dims)
    corpus = read_corpus(tmp_path / "x.pkl")
    assert corpus.dims == {"speech": 3, "visual": 4, "text": 2}
    assert corpus.label_names == EMOTIONS
    assert set(corpus.sessions) == {f"Ses0{i}" for i in range(1, 6)}
    assert set(corpus.speakers) == {f"Ses0{i}_{gender}" for i in range(1, 6) for gender in "FM"}
    train = np.repeat(corpus.split, corpus.lengths) == "train"
    assert (train.sum(), (~train).sum()) == (5810, 1623)
    assert (corpus.split.count("train"), corpus.split.count("test")) == (120, 31)
    here = corpus.utterances(corpus.conversation_ids.index("Ses03M_impro04"))
    expected = np.stack(iemocap_pickle.build(seed=1, dims=dims)[5]["Ses03M_impro04"])
    np.testing.assert_array_equal(corpus.features["visual"][here], expected)


def test_lists_bytes_integers_and_arrays_are_read(tmp_path):
    value = parts((7, 8))
    value[0] = {7: [b"x"], 8: np.array(["y", "z"])}
    value[2] = {7: np.array([1.0]), 8: [np.int64(0), -1]}
    value[3] = {7: [[1, 2.5, np.float32(3)]], 8: np.ones((2, 3), np.float32)}
    corpus = read(tmp_path, value)
    assert corpus.conversation_ids == ("7", "8")
    assert corpus.utterance_ids == ("x", "y", "z")
    assert corpus.labels.tolist() == [1, 0, -1]
    assert corpus.features["text"].tolist() == [[1, 2.5, 3], [1, 1, 1], [1, 1, 1]]
    value = parts()
    value[0]["a"], value[2]["b"] = ["u" * 1000, 2**64 - 1], [999]  # the limits
    corpus = read(tmp_path, value)
    assert corpus.utterance_ids[:2] == ("u" * 1000, str(2**64 - 1))
    assert corpus.labels[2] == 999


def change(part, conversation, item):
    """Replaces an entry of a part, or with None the part itself."""

    def apply(value):
        value[part] = item if conversation is None else value[part] | {conversation: item}
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
    "another order": (lambda v: [*v[:6], v[7], v[6], v[8]], ["part 6 (sentences)", "list", "dict"]),
    "both splits": (change(8, None, ["a", "c"]), ["conversation a", "two splits"]),
    "unknown in split": (change(8, None, ["zz"]), ["conversation zz", "test"]),
    "empty splits": (lambda v: [*v[:7], [], []], ["empty corpus"]),
    "a number as split": (change(8, None, 5), ["test", "int"]),
    "missing entry": (remove(5, "a"), ["conversation a", "visual"]),
    "missing labels": (remove(2, "c"), ["conversation c", "labels"]),
    "no utterances": (change(0, "a", []), ["conversation a", "no utterances"]),
    "too few vectors": (change(4, "a", [[1, 2]]), ["conversation a", "speech", "1", "2"]),
    "text as vector": (change(3, "b", ["words"]), ["b", "b0", "modality text", "vector"]),
    "matrix as vector": (change(3, "b", [np.ones((1, 3))]), ["b0", "text", "(1, 3)"]),
    "scalar as vector": (change(3, "b", np.ones(1)), ["b0", "text", "float64"]),
    "nested vector": (change(3, "b", [[[1.0]]]), ["b0", "modality text"]),
    "ragged utterances": (change(4, "a", [[1, 2], [1]]), ["a1", "speech", "1 features"]),
    "ragged conversations": (change(4, "b", [[1, 2, 3]]), ["conversation b", "speech", "3"]),
    "not finite": (change(4, "a", [np.ones(2), nan]), ["a1", "modality speech", "nan"]),
    "infinite as float32": (change(4, "b", [[1e300, 0]]), ["b0", "modality speech", "inf"]),
    "integer beyond floats": (change(4, "b", [[10**400, 0]]), ["b0", "speech", "too large"]),
    "label of text": (change(2, "b", ["happy"]), ["b0", "a str as a label"]),
    "label one too large": (change(2, "b", [1000]), ["b0", "label 1000 out of range"]),
    "label too small": (change(2, "b", [-2]), ["b0", "label -2 out of range"]),
    "fractional label": (change(2, "b", [0.5]), ["b0", "label 0.5"]),
    "two speakers at once": (change(1, "b", [[1, 1]]), ["b0", "2 speakers", "one-hot"]),
    "fractional speaker": (change(1, "b", [0.5]), ["b0", "float as a speaker"]),
    "more utterances than bytes": (change(0, "a", ["u"] * 5000),
                                   ["conversation a: more values than the file holds"]),
    "an id in two forms": (lambda v: [v[0] | {b"a": ["u"]}, *v[1:]],
                           ["part 0 (ids): a conversation id twice"]),
    "text as list": (change(0, "a", "uv"), ["ids: a str", "a list with one item"]),
    "no axis": (change(2, "b", np.array(1)), ["labels: a ndarray", "a list with one"]),
    "a fraction as id": (change(0, "a", [1.5, 2.5]), ["ids: a float as an id"]),
    "a large number as id": (change(0, "b", [2**64]), ["ids: an integer of 65 bits"]),
    "a long id": (change(0, "b", ["u" * 1001]), ["ids: an id of 1001 characters"]),
    "utterance twice": (change(0, "a", ["u", "u"]), ["conversation a", "utterance u", "twice"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_tuples_are_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    refuses(lambda: read(tmp_path, breaking(parts())), "x.pkl", *words)


def test_iemocap_s_labels_and_speakers_are_checked(tmp_path):
    names = ("Ses01F_impro01", "Ses05F_impro01")
    for part, item, words in ((2, 6, "label 6 out of range"), (1, "X", "'X'")):
        value = change(part, names[0], [item])(parts(names))
        refuses(lambda value=value: read(tmp_path, value), "Ses01F_impro010", words)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "text", 5, [{}] * 3, []])
def test_other_objects_are_refused(tmp_path, value):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    words = f"a pickled {type(value).__name__}", "corpora.md"
    refuses(lambda: read_corpus(tmp_path / "x.pkl"), *words)


def test_a_shared_vector_is_refused_before_it_is_copied(tmp_path):
    value, count = parts(("a", "b")), 20_000
    vector = np.zeros(100_000, np.float32)
    value[0]["a"] = [str(u) for u in range(count)]
    value[1]["a"], value[2]["a"] = ["F"] * count, [0] * count
    for part in (3, 4, 5):
        value[part]["a"] = [vector] * count
    refuses(lambda: read(tmp_path, value), "more values than the file holds")


THREE = {"speech": 3, "visual": 4, "text": 2}
TWO, FOUR = ("train", "train", "test"), ("train", "train", "valid", "test")
SIGNS = ("negative", "neutral", "positive")
RELATIVES = {
    "iemocap": (THREE, EMOTIONS, TWO),
    "sdt iemocap": (THREE, EMOTIONS, TWO),
    "cosmic": ({"text": 2}, EMOTIONS, ("train", "valid", "test")),
    "avec": (THREE, SIGNS, TWO),
    "meld": (THREE, meld.EMOTIONS, FOUR),
    "meld of nine": ({"speech": 3, "text": 2}, meld.EMOTIONS, FOUR),
    "sdt meld": (THREE, meld.EMOTIONS, FOUR),
    "cosmic meld": ({"text": 2}, meld.EMOTIONS, ("train", "valid", "valid", "test")),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_recognised_by_their_parts(tmp_path, name):
    corpus = read(tmp_path, public.PICKLES[name]())
    dims, labels, split = RELATIVES[name]
    assert (corpus.dims, corpus.label_names, corpus.split) == (dims, labels, split)
    assert corpus.lengths.tolist() == list(range(1, len(split) + 1))
    at = [(c, u) for c in range(len(split)) for u in range(c + 1)]
    # Features of utterance u of conversation c are 10 c + u; four blocks of text add 0, 1, 2, 3.
    expected = [10 * c + u for c, u in at]
    blocks = name.startswith(("sdt", "cosmic"))
    np.testing.assert_allclose(corpus.features["text"][:, 0], np.add(expected, 1.5 * blocks))
    for modality in corpus.dims.keys() - {"text"}:
        np.testing.assert_allclose(corpus.features[modality][:, 1], expected)
    classes = 6 if "iemocap" in name or "cosmic" in name else 7
    if name != "avec":
        assert corpus.labels.tolist() == [(c + u) % classes for c, u in at]


def test_meld_numbers_dialogues_and_names_speakers_by_role(tmp_path):
    corpus = read(tmp_path, public.meld())
    assert corpus.conversation_ids == ("0000", "0001", "1039", "1153")
    assert corpus.utterance_ids[3:6] == ("0", "1", "2")
    assert corpus.speakers[:3] == ("0000_0", "0001_1", "0001_2")
    notes = " ".join(corpus.source_notes)
    assert "validation: the 1 dialogues 1039 to 1152" in notes
    assert "roles" in notes


def test_avec_has_ratings(tmp_path):
    corpus = read(tmp_path, public.avec())
    assert corpus.targets["rating"].tolist() == [0.25, -0.5, 0.0, 0.0, 0.25, -0.5]
    assert corpus.labels.tolist() == [2, 0, 1, 1, 2, 0]
    assert corpus.sessions is None
    assert corpus.speakers[1:3] == ("Ses02M_script01_1_user", "Ses02M_script01_1_operator")


def test_cosmic_has_no_utterance_ids_and_joins_by_position(tmp_path):
    corpus = read(tmp_path, public.cosmic())
    assert corpus.utterance_ids == ("0", "0", "1", "0", "1", "2")
    assert corpus.sessions == ("Ses01", "Ses02", "Ses05")
    other = dump(tmp_path / "r.pkl", public.cosmic())
    corpus = read(tmp_path, public.iemocap(), join={"roberta": other})
    assert list(corpus.dims) == ["speech", "visual", "text", "roberta"]
    expected = corpus.features["speech"][:, 0] + 1.5
    np.testing.assert_allclose(corpus.features["roberta"][:, 0], expected)
    assert "roberta: utterances of 3 conversations matched by position" in corpus.source_notes


@pytest.mark.parametrize("meld", [False, True])
def test_labels_alone_need_features(tmp_path, meld):
    value = public.cosmic(meld=meld, features=False)
    refuses(lambda: read(tmp_path, value), "labels alone (COSMIC", f"{3 + meld} conv", "joined")
    other = dump(tmp_path / "r.pkl", public.cosmic(meld=meld))
    assert list(read(tmp_path, value, join={"text": other}).dims) == ["text"]


def test_dailydialog(tmp_path):
    names = ("a", "b", "c")
    numbers = public.by(names, lambda *_: [3, 5, 7])
    flags, split = public.by(names, lambda n, u: u % 2), (["a"], ["b"], ["c"])
    words = (flags, numbers, flags, flags, flags, *split)
    refuses(lambda: read(tmp_path, words), "labels alone (DailyDialog of conv-emotion")
    for extra in ((), (flags,)):
        corpus = read(tmp_path, (flags, public.vectors(names, 2), *extra, flags, flags, *split))
        assert corpus.dims == {"text": 2}
        assert corpus.split == ("train", "test", "valid")


REFUSED_MELD = {
    "a label": (2, {0: [7]}, ["conversation 0000", "label 7 out of range", "disgust"]),
    "no labels": (2, {1153: None}, ["conversation 1153", "without labels"]),
    "lengths": (3, {1039: [np.ones(2)]}, ["conversation 1039", "text: 1 utterances", "3, as"]),
    "widths": (3, {1039: [np.ones(3)] * 3}, ["1039", "modality text", "3 features", "2, as"]),
}


@pytest.mark.parametrize("name", REFUSED_MELD)
def test_malformed_tuples_of_meld_are_refused(tmp_path, name):
    part, changes, words = REFUSED_MELD[name]
    value = list(public.meld())
    value[part] = {k: v for k, v in (value[part] | changes).items() if v is not None}
    refuses(lambda: read(tmp_path, value), "x.pkl", *words)


def test_blocks_of_different_widths_are_refused(tmp_path):
    value = list(public.cosmic())
    value[3] = public.vectors(public.IEMOCAP, 3)
    refuses(lambda: read(tmp_path, value), "3 features in text2", "2")
