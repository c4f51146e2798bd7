import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.small import corpus

OF = np.arange(4).astype(object)
FEATURES = np.arange(8.0).reshape(4, 2)


def read(tmp_path, **arrays):
    np.savez(tmp_path / "x.npz", **{"features/speech": FEATURES} | arrays)
    return npz.read(tmp_path / "x.npz")


def test_labels_as_text_and_nothing_else(tmp_path):
    made = read(tmp_path, labels=np.array(["sad", "", "happy", "sad"]))
    assert made.label_names == ("happy", "sad")
    assert made.labels.tolist() == [1, -1, 0, 1]
    assert made.lengths.tolist() == [1] * 4
    assert made.conversation_ids == ("c0", "c1", "c2", "c3")
    assert made.utterance_ids == ("0",) * 4
    said = " ".join(made.source_notes)
    for word in ("label_names", "lengths", "conversation_ids", "utterance_ids"):
        assert word in said


def test_labels_as_bytes(tmp_path):
    made = read(tmp_path, labels=np.array(["traurig", "", "fröhlich", "traurig"]).astype(object))
    given = np.array([name.encode() for name in ("traurig", "", "fröhlich", "traurig")])
    same = read(tmp_path, labels=given)
    assert same.label_names == made.label_names == ("fröhlich", "traurig")
    assert same.labels.tolist() == made.labels.tolist()
    with pytest.raises(InputError, match="labels: bytes that are not UTF-8"):
        read(tmp_path, labels=np.array([b"\xff"] * 4))


def test_labels_as_text_of_given_names(tmp_path):
    made = read(tmp_path, labels=np.array(["b", "a", "", "b"]), label_names=np.array(["b", "a"]))
    assert made.labels.tolist() == [0, 1, -1, 0]
    with pytest.raises(InputError, match="labels: row 1: 'x'; expected one of label_names"):
        read(tmp_path, labels=np.array(["b", "x", "", "b"]), label_names=np.array(["b", "a"]))


def test_numbers_without_names(tmp_path):
    made = read(tmp_path, labels=np.array([0, 2, -1, 1]), lengths=np.array([3, 1]))
    assert made.label_names == ("0", "1", "2")
    assert made.utterance_ids == ("0", "1", "2", "0")


@pytest.mark.parametrize("ids", [["b", "a", "b", "a"], [7, 5, 7, 5]])
def test_conversation_ids_an_utterance(tmp_path, ids):
    made = read(
        tmp_path,
        labels=np.arange(4),
        conversation=np.array(ids),
        utterance_ids=np.array(list("wxyz")),
        speakers=np.array(list("stuv")),
        split=np.array(["train", "test"] * 2),
        **{
            "targets/valence": np.arange(4.0),
            "present/speech": np.array([True, False, True, True]),
            "groups/gender": np.array(list("fmmf")),
            "groups/decade": np.array([20, 30, 40, 50]),
        },
    )
    assert made.conversation_ids == tuple(dict.fromkeys(map(str, ids)))
    assert made.lengths.tolist() == [2, 2]
    assert made.utterance_ids == ("w", "y", "x", "z")
    assert made.speakers == ("s", "u", "t", "v")
    assert made.labels.tolist() == [0, 2, 1, 3]
    assert made.features["speech"][:, 0].tolist() == [0, 4, 2, 6]
    assert made.targets["valence"].tolist() == [0, 2, 1, 3]
    assert made.present["speech"].tolist() == [True, True, False, True]
    assert made.groups == {"gender": tuple("fmmf"), "decade": ("20", "40", "30", "50")}
    assert made.split == ("train", "test")
    assert "not adjacent" in " ".join(made.source_notes)


def test_texts_as_objects_which_pandas_makes(tmp_path):
    made = read(
        tmp_path,
        labels=np.array(["sad", np.nan, b"happy", "sad"], object),
        conversation=np.array(["a", "a", "b", "b"], object),
        utterance_ids=np.array([1, "x", "y", "z"], object),
    )
    assert made.label_names == ("happy", "sad")
    assert made.labels.tolist() == [1, -1, 0, 1]
    assert made.conversation_ids == ("a", "b")
    assert made.utterance_ids == ("1", "x", "y", "z")
    assert read(tmp_path, labels=np.array([1, 0, 1, -1], object)).labels.tolist() == [1, 0, 1, -1]
    numbers = np.array([12345, 7, 7, 12345], object)
    made = read(tmp_path, labels=np.zeros(4, int), conversation=numbers, utterance_ids=numbers + OF)
    assert made.conversation_ids == ("12345", "7")
    assert made.utterance_ids == ("12345", "12348", "8", "9")
    with pytest.raises(InputError, match=r"x\.npz: labels: .*Python objects in an array"):
        read(tmp_path, labels=np.array([None, "a", "b", "c"], object))
    with pytest.raises(InputError, match=r"x\.npz: labels: a float as an id"):
        read(tmp_path, labels=np.array([0.5, "a", "b", "c"], object))


REFUSED = {
    "both": (
        {"conversation": np.arange(4), "lengths": np.array([4])},
        "conversation: in addition",
    ),
    "too few": ({"conversation": np.arange(3)}, "conversation: 3 entries; expected 4"),
    "too many parts": (
        {"conversation": np.zeros(4, int), "split": np.array(["train", "test"] * 2)},
        "split: conversation number 0: test and train in one conversation",
    ),
    "other ids": (
        {"conversation": np.arange(4), "conversation_ids": np.array(list("abcd"))},
        "conversation_ids: other ids than in conversation",
    ),
    "apart, and too few": (
        {"conversation": np.array([0, 1, 0, 1]), "targets/a": np.ones(3)},
        "targets/a: 3 entries; expected 4",
    ),
    "ids for labels": (
        {"labels": np.array([0, 1, 2, 10**8])},
        r"x\.npz: labels: 100000000, of classes without names; expected numbers below 1000",
    ),
    "no labels": ({"labels": None}, "no key 'labels'"),
    "an infinite target": ({"targets/a": np.full(4, np.inf)}, "targets/a: conversation c0.*inf"),
    "a target of integers": ({"targets/a": np.arange(4)}, "targets/a: int64"),
    "a short target": ({"targets/a": np.ones(3)}, "targets/a: 3 entries"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    changes, said = REFUSED[name]
    arrays = {k: v for k, v in ({"labels": np.arange(4)} | changes).items() if v is not None}
    with pytest.raises(InputError, match=said):
        read(tmp_path, **arrays)


def test_targets_and_notes_are_kept(tmp_path):
    targets = {"valence": np.array([0, 1, np.nan, 2, 3, 4], np.float32)}
    made = corpus(targets=targets, source_notes=("one", "two"))
    npz.write(made, tmp_path / "x.npz")
    again = npz.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.targets["valence"], targets["valence"])
    assert again.source_notes == ("one", "two")
    assert again.fingerprint() == made.fingerprint() != corpus().fingerprint()
    assert again.select_modalities(["text"]).targets.keys() == {"valence"}
    assert corpus(source_notes=("other",)).fingerprint() == corpus().fingerprint()
