"""Another corpus as the test part."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data import cross_corpus, leaks, parts, splits
from tests.data.small import corpus, refuses

SPLIT = splits.Split(np.array([2]), np.array([0]), np.array([1]), "by hand")


def corpora(**changes):
    """Conversations c0, c1, c2 of 2, 1 and 3 utterances, and another corpus of 1 and 2."""
    other = {
        "features": {"text": np.full((3, 3), 7, "f4"), "speech": -np.eye(3, 2, dtype="f4")},
        "label_names": ("YES", "no"),
        "labels": np.array([0, 1, -1], np.int32),
        "conversation_ids": ("d0", "d1"),
        "source": "other",
    }
    return corpus(), corpus(lengths=(1, 2), **(other | changes))


def join(**changes):
    local, other = corpora(**changes)
    return cross_corpus.join(local, SPLIT, other)


def test_by_hand():
    both, split = join()
    assert both.conversation_ids == ("c0", "c2", "d0", "d1")
    assert both.lengths.tolist() == [2, 3, 1, 2]
    assert both.labels.tolist() == [0, 1, 1, 0, 1, 1, 0, -1]  # YES is the second label here
    assert list(both.features) == ["speech", "text"]
    assert both.features["speech"][:, 0].tolist() == [0, 2, 6, 8, 10, -1, 0, 0]
    assert (split.train.tolist(), split.valid.tolist(), split.test.tolist()) == ([1], [0], [2, 3])
    assert "all its 2 conversations" in split.how
    assert "by hand" in split.how
    assert split.notices == ()


def test_only_the_other_corpus_s_test_part_is_scored():
    both, split = join(split=("train", "test"))
    assert both.conversation_ids == ("c0", "c2", "d1")
    assert split.test.tolist() == [2]
    assert "1 conversations of its test part" in split.how
    # A label that is unknown here does no harm if no scored utterance has it.
    both, _ = join(label_names=("yes", "odd"), split=("test", "train"))
    assert both.labels.tolist()[-1] == 1


def test_fields_that_one_of_them_lacks():
    local, other = corpora(present={"text": np.array([True, False, True])})
    targets = {"x": np.arange(6, dtype=np.float32)}
    local = dataclasses.replace(local, speakers=tuple("ababab"), targets=targets)
    both, _ = cross_corpus.join(local, SPLIT, other)
    assert both.present["text"].tolist() == [True] * 6 + [False, True]
    assert both.speakers == (*"ab", *"bab", *["unknown"] * 3)
    np.testing.assert_array_equal(both.targets["x"], [0, 1, 3, 4, 5, *[np.nan] * 3])


WIDE = {"text": np.ones((3, 4), "f4"), "speech": np.eye(3, 2, dtype="f4")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": {"text": WIDE["text"]}}, ["speech"]),
        ({"features": WIDE}, ["4 features; expected the 3"]),
        ({"label_names": ("YES", "odd")}, ["not in the training corpus: odd", "no, yes"]),
        ({"labels": np.full(3, -1, np.int32)}, ["no labelled utterance"]),
        ({"conversation_ids": ("c1", "c0")}, ["1 of them with the same number of utterances"]),
    ],
    ids=["modality", "size", "label", "no label", "equal ids"],
)
def test_a_corpus_that_does_not_match_is_refused(changes, words):
    refuses(lambda: join(**changes), *words)


def test_equal_ids_of_different_conversations_are_reported():
    # c2 has 3 utterances here and 2 there; c1 is in the local test part, which is not used.
    both, split = join(conversation_ids=("c1", "c2"))
    assert both.conversation_ids == ("c0", "c2", "c1", "c2 (test)")
    assert "1 of 2 test conversations have the id of one in training" in split.notices[0]


def test_equal_features_are_refused(monkeypatch):
    monkeypatch.setattr(leaks, "LONG", 2)
    local, _ = corpora()
    copied = {name: local.features[name][[5, 0, 1]] for name in local.features}
    refuses(lambda: join(features=copied), "same features as conversation")


def test_the_test_part_may_be_scaled_by_its_own_statistics():
    both, split = join()
    shared, separate = (parts.prepare(both, split, scale_test=own).rows for own in (False, True))
    for part in ("train", "valid"):
        for name in both.features:
            one, other = (rows[part].features[name][:] for rows in (shared, separate))
            np.testing.assert_array_equal(one, other)
    speech = np.asarray(separate["test"].features["speech"])[separate["test"].mask]
    np.testing.assert_allclose(speech.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(speech[:, 0].std(), 1, rtol=1e-6)
    assert np.abs(np.asarray(shared["test"].features["speech"])).max() > 2
