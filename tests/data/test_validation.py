import pathlib

import numpy as np
import pytest

from mman_jax.data import validation
from mman_jax.errors import InputError
from tests.data.small import corpus


def features(**arrays):
    return {"features": arrays}


def array(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


REFUSED = {
    "no conversations": (
        {"lengths": (), "features": {"a": array(0, 2)}},
        ["empty corpus"],
    ),
    "no modalities": ({"features": {}}, ["no modalities"]),
    "unequal modalities": (features(a=array(6, 2), b=array(5, 2)), ["modality b", "5", "6"]),
    "no columns": (features(a=array(6, 0)), ["modality a", "D = 0"]),
    "double precision": (features(a=array(6, 2, dtype=np.float64)), ["modality a", "float64"]),
    "rank 1": (features(a=array(6)), ["modality a", "(6,)"]),
    "a list": (features(a=[[1.0]] * 6), ["modality a", "list"]),
    "name with a slash": ({"features": {"a/b": array(6, 2)}}, ["a/b", "letters, digits"]),
    "name with a comma": ({"features": {"a,b": array(6, 2)}}, ["a,b", "_ - . ( ) + or a space"]),
    "name with a space last": ({"features": {"a ": array(6, 2)}}, ["modality", "name"]),
    "name of dots": ({"features": {"..": array(6, 2)}}, ["..", "a letter or digit, then"]),
    "name with a quote": ({"features": {'a"': array(6, 2)}}, ["name"]),
    "name with =": ({"features": {"a=b": array(6, 2)}}, ["name"]),
    "name with brackets": ({"features": {"a[0]": array(6, 2)}}, ["name"]),
    "name of two lines": ({"features": {"a\nb": array(6, 2)}}, ["name"]),
    "frames": (features(a=array(6, 9, 2)), ["modality a", "(6, 9, 2)", "average", "over T first"]),
    "ratings from 1": (
        {"labels": np.array([1, 2, 1, 2, 2, -1], np.int32)},
        ["label 2", "indices are from 0", "subtract 1"],
    ),
    "float labels": (
        {"labels": np.zeros(6, np.float32)},
        ["labels", "float32", "numbers to predict are targets/"],
    ),
    "label too large": ({"labels": np.array([0, 1, 2, 0, 0, 0], np.int32)}, ["c1", "u0", "2"]),
    "label too small": ({"labels": np.array([0, 1, -2, 0, 0, 0], np.int32)}, ["c1", "u0", "-2"]),
    "long labels": ({"labels": np.zeros(6, np.int64)}, ["labels", "int64"]),
    "too few labels": ({"labels": np.zeros(5, np.int32)}, ["labels", "5", "6"]),
    "label names twice": ({"label_names": ("no", "no")}, ["label_names", "twice"]),
    "names in a list": ({"label_names": ["no", "yes"]}, ["label_names", "list"]),
    "sum of lengths": ({"utterance_ids": ("u",)}, ["lengths", "6", "1"]),
    "zero length": (
        {"lengths": (2, 0, 3)},
        ["conversation c1", "length 0"],
    ),
    "conversation twice": ({"conversation_ids": ("a", "b", "a")}, ["conversation a", "twice"]),
    "conversation in two splits": (
        {"conversation_ids": ("a", "b", "a"), "split": ("train", "train", "test")},
        ["conversation a", "two splits", "train and test"],
    ),
    "too few conversation ids": ({"conversation_ids": ("a", "b")}, ["conversation_ids", "2"]),
    "utterance twice": (
        {"utterance_ids": ("a", "b", "a", "a", "c", "a")},
        ["conversation c2", "utterance a"],
    ),
    "split name": ({"split": ("train", "tets", "test")}, ["c1", "'tets'", "'test'?"]),
    "a mask of an unknown modality": (
        {"present": {"face": np.ones(6, bool)}},
        ["present/face", "an unknown modality"],
    ),
    "a mask of integers": ({"present": {"text": np.ones(6, np.int32)}}, ["present/text", "int32"]),
    "a mask too short": ({"present": {"text": np.ones(5, bool)}}, ["present/text", "5", "6"]),
    "too few splits": ({"split": ("train", "test")}, ["split", "2", "3"]),
    "too few sessions": ({"sessions": ("s",)}, ["sessions", "1", "3"]),
    "too few speakers": ({"speakers": ("s",) * 3}, ["speakers", "3", "6"]),
    "a group too few": ({"groups": {"gender": ("f",) * 5}}, ["groups/gender", "5", "6"]),
    "a group without a name": ({"groups": {"a": ("f", "") * 3}}, ["groups/a", "position 1"]),
    "a group of speakers": ({"groups": {"speaker": ("f",) * 6}}, ["groups/speaker", "speakers"]),
    "a group with a comma": ({"groups": {"a,b": ("f",) * 6}}, ["groups/a,b", "name"]),
    "empty id": ({"conversation_ids": ("a", "", "b")}, ["conversation_ids", "position 1"]),
    "id of two lines": ({"conversation_ids": ("a", "b\nc", "d")}, ["conversation_ids", "b"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_that_names_the_place(name):
    changes, words = REFUSED[name]
    lengths = changes.get("lengths", (2, 1, 3))
    changes = {key: value for key, value in changes.items() if key != "lengths"}
    with pytest.raises(InputError) as error:
        corpus(lengths=lengths, **changes)
    message = str(error.value)
    assert message.startswith("small")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_conversation_utterance_modality_and_column(value, monkeypatch):
    monkeypatch.setattr(validation, "_CHUNK_VALUES", 4)  # two chunks before the one it is in
    speech, text = array(6, 2), array(6, 3)
    text[4, 2] = text[5, 0] = value
    with pytest.raises(InputError) as error:
        corpus(**features(speech=speech, text=text))
    for word in ["conversation c2", "utterance u1", "modality text", "column 2", str(value)]:
        assert word in str(error.value)


def test_finite_check_reads_a_mapped_file_in_bounded_chunks(tmp_path, monkeypatch):
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(6000, 50))
    sizes = []
    isfinite = np.isfinite
    monkeypatch.setattr(validation, "_CHUNK_VALUES", 5000)
    monkeypatch.setattr(np, "isfinite", lambda a: (sizes.append(a.size), isfinite(a))[1])
    corpus(lengths=(6000,), features={"a": mapped}, label_names=("no", "yes"))
    assert sum(sizes) == mapped.size
    assert max(sizes) <= 5000


def test_names_with_punctuation_inside_are_allowed():
    names = ("wav2vec2-large (ft)", "2d+3d", "opensmile_v2.0", "fusion")
    made = corpus(features={name: array(6, 2) for name in names})
    assert tuple(made.dims) == names


def test_a_label_out_of_range_among_labels_from_0_is_no_rating_from_1():
    with pytest.raises(InputError) as error:
        corpus(labels=np.array([0, 1, 2, 0, 0, 0], np.int32))
    assert "subtract" not in str(error.value)


def test_validation_does_not_import_the_corpus():
    assert "corpus import" not in pathlib.Path(validation.__file__).read_text()
