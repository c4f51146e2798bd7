"""The nine-tuple, and its kin, each recognised by its parts and read in its own order."""

import pickle

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import meld
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests import iemocap_pickle
from tests.data.readers import public
from tests.data.readers.public import dump, refuses


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


def read(tmp_path, value, protocol=4, **more):
    return read_corpus(dump(tmp_path / "x.pkl", tuple(value), protocol), **more)


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
    refuses(lambda: read(tmp_path, breaking(parts())), ["x.pkl", *words])


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


KIN = {
    "iemocap": ({"speech": 3, "visual": 4, "text": 2}, EMOTIONS, ("train", "train", "test")),
    "sdt iemocap": ({"speech": 3, "visual": 4, "text": 2}, EMOTIONS, ("train", "train", "test")),
    "cosmic": ({"text": 2}, EMOTIONS, ("train", "valid", "test")),
    "avec": (
        {"speech": 3, "visual": 4, "text": 2},
        ("negative", "neutral", "positive"),
        ("train", "train", "test"),
    ),
    "meld": (
        {"speech": 3, "visual": 4, "text": 2},
        meld.EMOTIONS,
        ("train", "train", "valid", "test"),
    ),
    "meld of nine": ({"speech": 3, "text": 2}, meld.EMOTIONS, ("train", "train", "valid", "test")),
    "sdt meld": (
        {"speech": 3, "visual": 4, "text": 2},
        meld.EMOTIONS,
        ("train", "train", "valid", "test"),
    ),
    "cosmic meld": ({"text": 2}, meld.EMOTIONS, ("train", "valid", "valid", "test")),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", KIN)
def test_each_is_told_by_its_parts(tmp_path, name, protocol):
    corpus = read(tmp_path, public.PICKLES[name](), protocol)
    dims, labels, split = KIN[name]
    assert corpus.dims == dims
    assert corpus.label_names == labels
    assert corpus.split == split
    count = len(split)
    assert corpus.lengths.tolist() == list(range(1, count + 1))
    # Features of utterance u of conversation c are 10 c + u, and four blocks add 0, 1, 2, 3.
    expected = [10 * c + u for c in range(count) for u in range(c + 1)]
    blocks = name.startswith(("sdt", "cosmic"))
    np.testing.assert_allclose(corpus.features["text"][:, 0], np.add(expected, 1.5 * blocks))
    for modality in corpus.dims.keys() - {"text"}:
        np.testing.assert_allclose(corpus.features[modality][:, 1], expected)
    several = 6 if name in ("iemocap", "sdt iemocap") or "cosmic" in name else 7
    classes = [(c + u) % several for c in range(count) for u in range(c + 1)]
    if name != "avec":
        assert corpus.labels.tolist() == classes


def test_meld_counts_dialogues_through_and_speakers_are_roles(tmp_path):
    corpus = read(tmp_path, public.meld())
    assert corpus.conversation_ids == ("0000", "0001", "1039", "1153")
    assert corpus.utterance_ids[3:6] == ("0", "1", "2")
    assert corpus.speakers[:3] == ("0000_0", "0001_1", "0001_2")
    said = " ".join(corpus.source_notes)
    assert "validation: the 1 dialogues 1039 to 1152" in said
    assert "roles" in said


def test_avec_has_numbers(tmp_path):
    corpus = read(tmp_path, public.avec())
    assert corpus.targets["rating"].tolist() == [0.25, -0.5, 0.0, 0.0, 0.25, -0.5]
    assert corpus.labels.tolist() == [2, 0, 1, 1, 2, 0]
    assert corpus.sessions is None
    assert corpus.speakers[1:3] == ("Ses02M_script01_1_user", "Ses02M_script01_1_operator")


def test_cosmic_has_no_ids_of_utterances(tmp_path):
    corpus = read(tmp_path, public.cosmic())
    assert corpus.utterance_ids == ("0", "0", "1", "0", "1", "2")
    assert corpus.sessions == ("Ses01", "Ses02", "Ses05")


def test_two_files_of_a_corpus_join_by_position(tmp_path):
    dump(tmp_path / "r.pkl", public.cosmic())
    corpus = read(tmp_path, public.iemocap(), join={"roberta": tmp_path / "r.pkl"})
    assert list(corpus.dims) == ["speech", "visual", "text", "roberta"]
    np.testing.assert_allclose(
        corpus.features["roberta"][:, 0], corpus.features["speech"][:, 0] + 1.5
    )
    assert "roberta: utterances of 3 conversations matched by position" in corpus.source_notes


@pytest.mark.parametrize("meld", [False, True])
def test_labels_alone_need_features(tmp_path, meld):
    value = public.cosmic(meld=meld, features=False)
    with pytest.raises(
        InputError, match=r"labels alone \(COSMIC.*(3|4) conv.*that are joined to them"
    ):
        read(tmp_path, value)
    dump(tmp_path / "r.pkl", public.cosmic(meld=meld))
    corpus = read(tmp_path, value, join={"text": tmp_path / "r.pkl"})
    assert list(corpus.dims) == ["text"]


def test_dailydialog_by_words_and_by_vectors(tmp_path):
    c = ("a", "b", "c")
    numbers = public.by(c, lambda *_: [3, 5, 7])
    flags, split = public.by(c, lambda n, u: u % 2), (["a"], ["b"], ["c"])
    words = (flags, numbers, flags, flags, flags, *split)
    with pytest.raises(InputError, match=r"labels alone \(DailyDialog of conv-emotion"):
        read(tmp_path, words)
    for extra in ((), (flags,)):
        value = (flags, public.vectors(c, 2), *extra, flags, flags, *split)
        corpus = read(tmp_path, value)
        assert corpus.dims == {"text": 2}
        assert corpus.split == ("train", "test", "valid")


REFUSED_MELD = {
    "a label": (2, {0: [7]}, ["conversation 0000", "label 7 out of range", "disgust"]),
    "no labels": (2, {1153: None}, ["conversation 1153", "without labels"]),
    "lengths": (3, {1039: [np.ones(2)]}, ["conversation 1039", "text: 1 utterances", "3, as"]),
    "widths": (3, {1039: [np.ones(3)] * 3}, ["1039", "modality text", "3 features", "2, as"]),
}


@pytest.mark.parametrize("name", REFUSED_MELD)
def test_refused_of_meld(tmp_path, name):
    part, changes, words = REFUSED_MELD[name]
    value = list(public.meld())
    value[part] = {k: v for k, v in (value[part] | changes).items() if v is not None}
    refuses(lambda: read(tmp_path, tuple(value)), ["x.pkl", *words])


def test_blocks_of_other_widths(tmp_path):
    value = list(public.cosmic())
    value[3] = public.vectors(public.IEMOCAP, 3)
    with pytest.raises(InputError, match="3 features in text2; expected 2"):
        read(tmp_path, value)
