import hashlib

import numpy as np
import pytest

from mman_jax.data import leaks, splits
from mman_jax.data.parts import prepare
from mman_jax.errors import InputError
from tests.data.small import corpus

PARTS = ("train", "train", "valid", "test")
LENGTHS = (3, 2, 1, 3)


def made(change=None, parts=PARTS, lengths=LENGTHS):
    total = sum(lengths)
    rng = np.random.default_rng(0)
    features = {name: rng.random((total, d), np.float32) for name, d in (("a", 2), ("b", 3))}
    if change:
        change(features)
    return corpus(lengths=lengths, features=features, split=parts)


def copy(features):
    """The fourth conversation holds what the first one does."""
    for array in features.values():
        array[6:9] = array[0:3]


def test_the_same_features_under_another_id_are_refused_by_both_names():
    leaking = made(copy)
    for find in (splits.split, prepare):
        with pytest.raises(InputError) as error:
            find(leaking)
        message = str(error.value)
        assert message.startswith("small: conversation c3 (test): the same features as ")
        assert "conversation c0 (train)" in message


@pytest.mark.parametrize("part", ["train", "valid"])
def test_in_any_two_parts(part):
    parts = {"train": ("train", "valid", "test", "valid"), "valid": ("test", "train", "x", "valid")}
    parts = tuple("valid" if p == "x" else p for p in parts[part])
    with pytest.raises(InputError, match="the same features"):
        splits.split(made(copy, parts))


def test_within_one_part_it_is_no_leak():
    splits.split(made(copy, ("train", "valid", "test", "train")))


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("modality", ["a", "b"])
def test_one_value_of_any_utterance_and_modality_tells_them_apart(row, modality):
    def change(features):
        copy(features)
        features[modality][6 + row, 0] += 1

    splits.split(made(change))


def test_one_modality_alone_in_common_is_no_leak():
    def change(features):
        features["a"][6:9] = features["a"][0:3]

    splits.split(made(change))


def test_a_conversation_that_only_begins_alike_is_no_leak():
    def change(features):
        for array in features.values():
            array[3:5] = array[0:2]

    splits.split(made(change, ("train", "test", "valid", "train")))


def test_conversations_of_zeros_hold_nothing():
    def change(features):
        for array in features.values():
            array[0:3] = array[6:9] = 0

    splits.split(made(change))


def test_the_same_id_is_refused_whatever_it_holds():
    with pytest.raises(InputError, match="conversation c0: in two splits, train and test"):
        corpus(lengths=LENGTHS, split=PARTS, conversation_ids=("c0", "c1", "c2", "c0"))


def test_conversations_that_differ_at_their_ends_are_not_read_whole(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(leaks, "_digest", refuse)
    splits.split(made())
    with pytest.raises(AssertionError):
        splits.split(made(copy))


def test_digests_are_made_in_chunks(monkeypatch):
    sizes = []
    whole = hashlib.blake2b

    class Spy:
        def __init__(self, *args, **settings):
            self.digest_of = whole(*args, **settings)

        def update(self, values):
            sizes.append(values.size)
            self.digest_of.update(values)

        def digest(self):
            return self.digest_of.digest()

    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 6)
    monkeypatch.setattr(hashlib, "blake2b", Spy)
    with pytest.raises(InputError, match="the same features"):
        splits.split(made(copy))
    assert max(sizes) <= 6
