import numpy as np
import pytest

from mman_jax.data import validation
from mman_jax.errors import InputError
from tests.data.small import corpus, refuses


def array(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def features(**arrays):
    return {"features": arrays}


def labels(*values, dtype=np.int32):
    return {"labels": np.array(values, dtype)}


def present(name, values):
    return {"present": {name: values}}


BAD_NAMES = ("a/b", "a,b", "a ", "..", 'a"', "a=b", "a[0]", "a\nb")
REFUSED = {
    "no conversations": ({"lengths": (), "features": {"a": array(0, 2)}}, ["empty corpus"]),
    "no modalities": (features(), ["no modalities"]),
    "unequal modalities": (features(a=array(6, 2), b=array(5, 2)), ["modality b", "5", "6"]),
    "no columns": (features(a=array(6, 0)), ["modality a", "D = 0"]),
    "double precision": (features(a=array(6, 2, dtype=np.float64)), ["modality a", "float64"]),
    "rank 1": (features(a=array(6)), ["modality a", "(6,)"]),
    "a list": (features(a=[[1.0]] * 6), ["modality a", "list"]),
    **{f"name {name!r}": (features(**{name: array(6, 2)}), ["modality", "name"])
       for name in BAD_NAMES},
    "frames": (features(a=array(6, 9, 2)), ["modality a", "(6, 9, 2)", "average", "over T first"]),
    "ratings from 1": (labels(1, 2, 1, 2, 2, -1), ["label 2", "subtract 1"]),
    "float labels": (labels(*[0] * 6, dtype=np.float32), ["labels", "float32", "targets/"]),
    "label too large": (labels(0, 1, 2, 0, 0, 0), ["c1", "u0", "2"]),
    "label too small": (labels(0, 1, -2, 0, 0, 0), ["c1", "u0", "-2"]),
    "long labels": (labels(*[0] * 6, dtype=np.int64), ["labels", "int64"]),
    "too few labels": (labels(*[0] * 5), ["labels", "5", "6"]),
    "label names twice": ({"label_names": ("no", "no")}, ["label_names", "twice"]),
    "names in a list": ({"label_names": ["no", "yes"]}, ["label_names", "list"]),
    "sum of lengths": ({"utterance_ids": ("u",)}, ["lengths", "6", "1"]),
    "zero length": ({"lengths": (2, 0, 3)}, ["conversation c1", "length 0"]),
    "conversation twice": ({"conversation_ids": ("a", "b", "a")}, ["conversation a", "twice"]),
    "conversation in two splits": ({"conversation_ids": ("a", "b", "a"),
                                    "split": ("train", "train", "test")},
                                   ["conversation a", "two splits", "train and test"]),
    "too few conversation ids": ({"conversation_ids": ("a", "b")}, ["conversation_ids", "2"]),
    "utterance twice": ({"utterance_ids": tuple("abaaca")}, ["conversation c2", "utterance a"]),
    "split name": ({"split": ("train", "tets", "test")}, ["c1", "'tets'", "'test'?"]),
    "unknown mask": (present("face", np.ones(6, bool)), ["present/face", "an unknown modality"]),
    "integer mask": (present("text", np.ones(6, np.int32)), ["present/text", "int32"]),
    "short mask": (present("text", np.ones(5, bool)), ["present/text", "5", "6"]),
    "too few splits": ({"split": ("train", "test")}, ["split", "2", "3"]),
    "too few sessions": ({"sessions": ("s",)}, ["sessions", "1", "3"]),
    "too few speakers": ({"speakers": ("s",) * 3}, ["speakers", "3", "6"]),
    "too few genders": ({"gender": ("f",) * 5}, ["gender: 5 entries"]),
    "short group": ({"groups": {"age": ("f",) * 5}}, ["groups/age", "5", "6"]),
    "group without a name": ({"groups": {"a": ("f", "") * 3}}, ["groups/a", "position 1"]),
    "group of speakers": ({"groups": {"speaker": ("f",) * 6}}, ["groups/speaker", "speakers"]),
    "group of genders": ({"gender": tuple("fmfmfm"), "groups": {"gender": ("f",) * 6}},
                         ["groups/gender"]),
    "group with a comma": ({"groups": {"a,b": ("f",) * 6}}, ["groups/a,b", "name"]),
    "empty id": ({"conversation_ids": ("a", "", "b")}, ["conversation_ids", "position 1"]),
    "id of two lines": ({"conversation_ids": ("a", "b\nc", "d")}, ["conversation_ids", "b"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_corpora_are_refused_in_one_line_that_names_the_place(name):
    changes, words = REFUSED[name]
    refuses(lambda: corpus(**changes), "small", *words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_located(value, monkeypatch):
    monkeypatch.setattr(validation, "_CHUNK_VALUES", 4)  # two chunks before that of the value
    text = array(6, 3)
    text[4, 2] = text[5, 0] = value
    place = "conversation c2, utterance u1, modality text"
    refuses(
        lambda: corpus(**features(speech=array(6, 2), text=text)), place, f"{value} in column 2"
    )


def test_names_may_contain_punctuation():
    names = ("wav2vec2-large (ft)", "2d+3d", "opensmile_v2.0", "fusion")
    made = corpus(features={name: array(6, 2) for name in names})
    assert tuple(made.dims) == names


def test_labels_from_0_are_not_taken_for_ratings_from_1():
    with pytest.raises(InputError) as error:
        corpus(**labels(0, 1, 2, 0, 0, 0))
    assert "subtract" not in str(error.value)
