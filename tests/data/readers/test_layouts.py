"""Small fakes of public layouts: each is named, and so is what to do."""

import pickle

import numpy as np
import pytest

from mman_jax.data.readers import layouts, npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests.data.small import corpus

IDS = ("0", "1", "2")
PADDED = {"text": np.zeros((2, 3, 4)), "audio": np.zeros((2, 3, 2)), "vision": np.zeros((2, 3, 5))}


def by(item):
    return {name: [item, item] for name in IDS}


TEXT, NUMBER, FLOAT, ONE_HOT = by("words"), by(1), by(0.25), by([0, 1, 0])
VECTOR = by(np.ones(4, np.float32))
SETS = ({"0", "1"}, {"2"})
LISTS = (["0"], ["1"], ["2"])


def parts(**fields):
    return {part: PADDED | fields for part in ("train", "valid", "test")}


PICKLES = {
    "MELD of nine": (TEXT, ONE_HOT, NUMBER, VECTOR, VECTOR, TEXT, *SETS, NUMBER),
    "MELD of ten": (TEXT, ONE_HOT, NUMBER, VECTOR, VECTOR, VECTOR, TEXT, *SETS, NUMBER),
    "SDT of twelve": (TEXT, TEXT, NUMBER, *[VECTOR] * 6, TEXT, *SETS),
    "SDT of thirteen": (TEXT, ONE_HOT, NUMBER, *[VECTOR] * 6, TEXT, *SETS, NUMBER),
    "COSMIC of ten": [TEXT, NUMBER, *[VECTOR] * 4, TEXT, *LISTS],
    "COSMIC of eleven": [ONE_HOT, NUMBER, NUMBER, *[VECTOR] * 4, TEXT, *LISTS],
    "COSMIC without features": [TEXT, NUMBER, TEXT, *LISTS],
    "AVEC": (TEXT, TEXT, FLOAT, VECTOR, VECTOR, VECTOR, TEXT, *SETS),
    "MMSA": parts(regression_labels=np.zeros(2)),
    "Multimodal-Transformer and MultiBench": parts(labels=np.zeros((2, 1, 1))),
    "MISA": [
        ((np.arange(2), np.ones((2, 3)), np.ones((2, 4)), ["a"] * 2), np.ones((1, 1)), "v[0]")
    ],
    "bc-LSTM's padded pickles": (
        *(np.ones((2, 3, 4)), np.ones((2, 3))) * 2,
        3,
        [1, 2],
        [3, 1],
    ),
    "MELD.Features.Models": [{"0_0": np.ones(3)}] * 3,
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(tmp_path, name):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(PICKLES[name], 4))
    with pytest.raises(InputError) as error:
        read_corpus(tmp_path / "x.pkl")
    layout = name.split(" of ")[0]
    assert f"x.pkl: the layout of {layout}" in str(error.value)
    assert ".npz" in str(error.value)
    assert "docs/arrays.md" in str(error.value)


@pytest.mark.parametrize(
    "value",
    [
        {"train": np.ones(2), "test": np.ones(2)},
        (TEXT, TEXT, {"0": [10**400]}, *[VECTOR] * 3, TEXT, *SETS),
        (TEXT, TEXT, {"0": np.ones(())}, *[VECTOR] * 3, TEXT, *SETS),
        [{}] * 3,
        [],
    ],
)
def test_what_is_none_of_them_is_left_to_the_reader(value):
    assert layouts.name_of(value) == ""


FILES = {
    "MERBench": "features/wavlm-UTT/a.npy",
    "EmoBox": "fold_1/iemocap_train_fold_1.json",
    "emotion2vec": "train.npy",
}


@pytest.mark.parametrize("name", FILES)
def test_folders(tmp_path, name):
    file = tmp_path / FILES[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    with pytest.raises(InputError, match=f"the layout of {name}.*docs/arrays.md"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("x.npy", "emotion2vec"), ("x.json", "EmoBox")])
def test_files_of_other_kinds(tmp_path, name, said):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"another kind.*{said}.*docs/arrays.md"):
        read_corpus(tmp_path / name)


def test_labels_of_merbench(tmp_path):
    np.savez(tmp_path / "x.npz", whole_corpus=np.array({"a": {"emo": 1}}, object))
    with pytest.raises(InputError, match="MERBench"):
        read_corpus(tmp_path / "x.npz")


def test_objects_in_an_array_are_no_damage(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"id": np.array(["a", b"b"], object)}))
    with pytest.raises(InputError) as error:
        read_corpus(tmp_path / "x.pkl")
    assert "it holds Python objects in an array, which this reader does not load" in str(
        error.value
    )
    assert "damaged" not in str(error.value)


WRONG = {
    "labels": (np.zeros(6), "regression is not supported: bin values into classes"),
    "features/text": (np.zeros((6, 5, 3), np.float32), "average frames .* over T first"),
    "utterance_ids": (np.array(list("abcdef"), object), "holds Python objects in an array"),
}


@pytest.mark.parametrize("key", WRONG)
def test_an_archive_says_what_to_do(tmp_path, key):
    npz.write(corpus(), tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as stored:
        arrays = dict(stored)
    arrays[key], said = WRONG[key]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=said):
        npz.read(tmp_path / "x.npz")
