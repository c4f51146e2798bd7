import pathlib

import numpy as np
import pytest

from mman_jax.data import leaks, splits
from mman_jax.data.parts import prepare
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.sequences import Sequence
from tests.data.small import corpus, refuses

PARTS = ("train", "train", "valid", "test")
LENGTHS = (3, 2, 1, 3)


def made(*changes, parts=PARTS, **more):
    rng = np.random.default_rng(0)
    features = {name: rng.random((9, d), np.float32) for name, d in (("a", 2), ("b", 3))}
    for change in changes:
        change(features)
    return corpus(lengths=LENGTHS, features=features, split=parts, **more)


def copy(features):
    """The fourth conversation has the features of the first."""
    for array in features.values():
        array[6:9] = array[0:3]


def copy_one_modality(features):
    features["a"][6:9] = features["a"][0:3]


def copy_beginning(features):
    for array in features.values():
        array[3:5] = array[0:2]


def zeros(features):
    for array in features.values():
        array[0:3] = array[6:9] = 0


def missing(features):
    """Values in place of missing features."""
    features["b"][[1, 7]] = [[np.nan], [5]]


def change_value(modality, row):
    def change(features):
        features[modality][6 + row, 0] += 1

    return change


@pytest.mark.parametrize("find", [splits.split, prepare])
def test_equal_features_under_another_id_are_refused(find):
    words = "small: conversation c3 (test): the same features as ", "conversation c0 (train)"
    refuses(lambda: find(made(copy)), *words)
    present = np.ones(9, bool)
    present[[1, 7]] = False
    refuses(lambda: find(made(copy, missing, present={"b": present})), *words)


@pytest.mark.parametrize("parts", ["train valid test valid", "test train valid valid"])
def test_equal_features_are_refused_in_any_two_parts(parts):
    leaking = made(copy, parts=tuple(parts.split()))
    refuses(lambda: splits.split(leaking), "the same features")


CHANGES = [(copy, change_value(m, row)) for m in "ab" for row in range(3)]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ((copy,), ("train", "valid", "test", "train")),
        ((copy_one_modality,), PARTS),
        ((copy_beginning,), ("train", "test", "valid", "train")),
        ((zeros,), PARTS),
        *((changes, PARTS) for changes in CHANGES),
    ],
)
def test_a_copy_within_a_part_or_of_some_features_is_no_leak(changes, parts):
    splits.split(made(*changes, parts=parts))


def test_equal_ids_in_two_parts_are_refused():
    ids = ("c0", "c1", "c2", "c0")
    refuses(lambda: made(conversation_ids=ids), "conversation c0: in two splits, train and test")


def test_conversations_of_equal_features_and_different_words_are_no_copy():
    features = {"speech": np.ones((4, 2), np.float32)}
    parts = {"train": np.array([0]), "test": np.array([1])}
    same = corpus((2, 2), features=features)
    refuses(lambda: leaks.check(same, parts), "the same features")
    words = Sequence(np.arange(4, dtype=np.float32).reshape(4, 1), np.ones(4, np.int32))
    features |= {"text": np.ones((4, 1), np.float32)}
    assert leaks.check(corpus((2, 2), features=features, sequences={"text": words}), parts) == ()


def many(conversations, length=3, change=None, **more):
    """Conversations of random features, of which the last fifth tests and the one before validates.

    Args:
        conversations: their number.
        length: the utterances of each.
        change: changes the array of each modality.
        more: further fields.
    """
    rng = np.random.default_rng(1)
    shape, fifth = (conversations * length, 6), conversations // 5
    features = {m: rng.standard_normal(shape).astype(np.float32) for m in "abc"}
    for name, array in features.items():
        if change:
            change(name, array)
    parts = ("train",) * (conversations - 2 * fifth) + ("valid",) * fifth + ("test",) * fifth
    return corpus((length,) * conversations, features=features, split=parts, **more)


def copy_rows(count):
    def change(_, array):
        array[-count:] = array[:count]

    return change


def test_a_short_copy_among_many_conversations_is_reported():
    notices = splits.split(many(150, change=copy_rows(3))).notices
    assert notices[0] == (
        "1 short conversation with the same features as one in another part of the split "
        "(first c149 in test, as c0 in train)"
    )
    assert notices[1].startswith("3 of 90 test utterances (3.3%) have the features of an utterance")
    assert len(notices) == 2
    refuses(lambda: splits.split(many(150, change=copy_rows(6))), "the same features")


@pytest.mark.parametrize(("different", "refused"), [(8, True), (7, False)])
def test_a_long_copy_of_different_utterances_is_refused(different, refused):
    def change(_, array):
        array[different:8] = array[0]
        array[-8:] = array[:8]

    leaking = many(150, length=8, change=change)
    if refused:
        refuses(lambda: splits.split(leaking), "conversation c149 (test): the same features")
    else:
        assert "short conversation" in splits.split(leaking).notices[0]


ROUNDED = {"float16": np.float16, "decimals": lambda x: np.round(x, 3), "exact": np.float32}


@pytest.mark.parametrize("how", ROUNDED)
def test_utterances_of_another_part_are_reported_even_if_rounded(how):
    def change(_, array):
        array[-2] = ROUNDED[how](array[4])

    (notice,) = splits.split(many(10, change=change)).notices
    assert notice == (
        "1 of 6 test utterances (16.7%) have the features of an utterance in training or "
        "validation, to the bit or rounded"
    )


def test_utterances_that_differ_in_one_modality_are_reported_by_its_name():
    def change(name, array):
        if name != "b":
            array[-2] = array[20]  # of validation

    (notice,) = splits.split(many(10, change=change)).notices
    assert notice.startswith("1 of 6 test utterances (16.7%) have all but b in common with")


@pytest.mark.parametrize(("scale", "filling"), [(1e-9, 0), (1e30, 1), (1, np.nan)])
def test_tiny_huge_zero_and_missing_values_are_no_copies(scale, filling):
    def change(_, array):
        array *= scale
        if filling != 1:
            array[[0, -1]] = filling

    present = np.ones(30, bool)
    present[[0, -1]] = np.isfinite(filling)
    split = splits.split(many(10, change=change, present=dict.fromkeys("abc", present)))
    assert split.notices == ()


MELD = pathlib.Path(__file__).parents[3] / "shared/data/meld/meld_text_minilm.npz"


@pytest.mark.skipif(not MELD.is_file(), reason=f"{MELD.name} is not installed")
def test_meld():
    split = prepare(read_corpus(MELD)).split
    assert [len(part) for part in (split.train, split.valid, split.test)] == [1038, 114, 280]
    assert split.notices[0].startswith("2 short conversations with the same features")
    assert "of 2610 test utterances" in split.notices[1]
