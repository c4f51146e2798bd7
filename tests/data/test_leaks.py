import dataclasses
import hashlib
import pathlib

import numpy as np
import pytest

from mman_jax.data import leaks, splits
from mman_jax.data.parts import prepare
from mman_jax.data.readers.read import read_corpus
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


def test_what_stands_in_place_of_a_missing_modality_hides_no_copy():
    def change(features):
        copy(features)
        features["b"][[1, 7]] = [[np.nan], [5]]

    both = np.ones(9, bool)
    both[[1, 7]] = False
    leaking = dataclasses.replace(
        corpus(lengths=LENGTHS, split=PARTS), features=made(copy).features, present={"b": both}
    )
    filled = {name: x.copy() for name, x in leaking.features.items()}
    change(filled)
    with pytest.raises(InputError, match="the same features as "):
        splits.split(dataclasses.replace(leaking, features=filled))


@pytest.mark.parametrize("part", ["train", "valid"])
def test_in_any_two_parts(part):
    parts = {
        "train": ("train", "valid", "test", "valid"),
        "valid": ("test", "train", "valid", "valid"),
    }
    with pytest.raises(InputError, match="the same features"):
        splits.split(made(copy, parts[part]))


def one_modality(features):
    features["a"][6:9] = features["a"][0:3]


def beginning(features):
    for array in features.values():
        array[3:5] = array[0:2]


def zeros(features):
    for array in features.values():
        array[0:3] = array[6:9] = 0


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (copy, ("train", "valid", "test", "train")),
        (one_modality, PARTS),
        (beginning, ("train", "test", "valid", "train")),
        (zeros, PARTS),
    ],
)
def test_a_copy_in_one_part_or_of_some_features_is_no_leak(change, parts):
    splits.split(made(change, parts))


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("modality", ["a", "b"])
def test_one_value_of_any_utterance_and_modality_tells_them_apart(row, modality):
    def change(features):
        copy(features)
        features[modality][6 + row, 0] += 1

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


def many(conversations, length=3, columns=6, modalities=("a", "b", "c"), seed=1):
    """Features of so many conversations, the last fifth test, the one before validation."""
    rng = np.random.default_rng(seed)
    total = conversations * length
    features = {m: rng.standard_normal((total, columns)).astype(np.float32) for m in modalities}
    fifth = conversations // 5
    parts = ("train",) * (conversations - 2 * fifth) + ("valid",) * fifth + ("test",) * fifth
    return {"lengths": (length,) * conversations, "features": features, "split": parts}


def test_a_short_copy_among_many_conversations_is_told_not_refused():
    fields = many(150)
    for array in fields["features"].values():
        array[-3:] = array[:3]
    notices = splits.split(corpus(**fields)).notices
    assert notices[0] == (
        "1 short conversation with the same features as one in another part of the split "
        "(first c149 in test, as c0 in train)"
    )
    assert notices[1].startswith("3 of 90 test utterances (3.3%) have the features of an utterance")
    assert len(notices) == 2


@pytest.mark.parametrize(("different", "refused"), [(8, True), (7, False)])
def test_a_long_copy_of_utterances_that_differ_is_refused(different, refused):
    fields = many(150, length=8)
    for array in fields["features"].values():
        array[different:8] = array[0]
        array[-8:] = array[:8]
    made = corpus(**fields)
    if refused:
        with pytest.raises(InputError, match=r"conversation c149 \(test\): the same features"):
            splits.split(made)
    else:
        assert "short conversation" in splits.split(made).notices[0]


def test_short_copies_beyond_a_share_of_a_part_are_refused():
    fields = many(150)
    for array in fields["features"].values():
        array[-6:] = array[:6]
    with pytest.raises(InputError, match="the same features"):
        splits.split(corpus(**fields))


@pytest.mark.parametrize(
    "rounded",
    [lambda x: x.astype(np.float16), lambda x: np.round(x, 3), lambda x: x],
    ids=["float16", "decimals", "exact"],
)
def test_utterances_that_another_part_has_after_rounding_are_told(rounded):
    fields = many(10)
    for array in fields["features"].values():
        array[-2] = rounded(array[4])
    (notice,) = splits.split(corpus(**fields)).notices
    assert notice == (
        "1 of 6 test utterances (16.7%) have the features of an utterance in training or "
        "validation, to the bit or rounded"
    )


def test_utterances_that_differ_in_one_modality_are_told_by_its_name():
    fields = many(10)
    for name in ("a", "c"):
        fields["features"][name][-2] = fields["features"][name][20]  # validation
    (notice,) = splits.split(corpus(**fields)).notices
    assert notice.startswith("1 of 6 test utterances (16.7%) have all but b in common with")


@pytest.mark.parametrize(("scale", "filling"), [(1e-9, 0), (1e30, 1), (1, np.nan)])
def test_tiny_huge_zero_and_missing_values_are_no_copies(scale, filling):
    fields = many(10)
    present = np.ones(30, bool)
    present[[0, -1]] = np.isfinite(filling)
    for array in fields["features"].values():
        array *= scale
        if filling != 1:
            array[[0, -1]] = filling
    made = corpus(**fields, present={name: present for name in fields["features"]})
    assert splits.split(made).notices == ()


def test_rows_are_digested_in_bounded_memory(monkeypatch):
    sizes = []
    round_ = np.round
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 12)
    monkeypatch.setattr(np, "round", lambda x, n: (sizes.append(x.size), round_(x, n))[1])
    splits.split(corpus(**many(10)))
    assert max(sizes) <= 12


MELD = pathlib.Path(__file__).parents[3] / "shared/data/meld/meld_text_minilm.npz"


@pytest.mark.skipif(not MELD.is_file(), reason=f"the real corpus is not there: no {MELD.name}")
def test_meld_loads_and_is_prepared():
    split = prepare(read_corpus(MELD)).split
    assert [len(part) for part in (split.train, split.valid, split.test)] == [1038, 114, 280]
    assert split.notices[0].startswith("2 short conversations with the same features")
    assert "of 2610 test utterances" in split.notices[1]
