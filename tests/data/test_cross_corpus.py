"""Another corpus as the test part, by hand."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data import cross_corpus, leaks, parts, splits
from mman_jax.errors import InputError
from tests.data import small

SPLIT = splits.Split(np.array([2]), np.array([0]), np.array([1]), "by hand")


def corpora(**changes):
    """Conversations c0, c1, c2 of 2, 1 and 3 utterances; and others of 1 and 2."""
    own = small.corpus()
    features = {"text": np.full((3, 3), 7, np.float32), "speech": -np.eye(3, 2, dtype=np.float32)}
    given = {
        "features": features, "label_names": ("YES", "no"),
        "labels": np.array([0, 1, -1], np.int32),
        "conversation_ids": ("d0", "d1"), "source": "other",
    }  # fmt: skip
    return own, small.corpus(lengths=(1, 2), **(given | changes))


def test_both_as_one_by_hand():
    both, split = cross_corpus.join(*corpora()[:1], SPLIT, corpora()[1])
    assert both.conversation_ids == ("c0", "c2", "d0", "d1")
    assert both.lengths.tolist() == [2, 3, 1, 2]
    # YES is the own second label, whatever its place there.
    assert both.labels.tolist() == [0, 1, 1, 0, 1, 1, 0, -1]
    assert list(both.features) == ["speech", "text"]
    assert both.features["speech"][:, 0].tolist() == [0, 2, 6, 8, 10, -1, 0, 0]
    assert (split.train.tolist(), split.valid.tolist(), split.test.tolist()) == ([1], [0], [2, 3])
    assert "all its 2 conversations" in split.how
    assert "by hand" in split.how
    assert split.notices == ()


def test_the_test_part_alone_is_scored_where_there_is_one():
    own, other = corpora(split=("train", "test"))
    both, split = cross_corpus.join(own, SPLIT, other)
    assert both.conversation_ids == ("c0", "c2", "d1")
    assert split.test.tolist() == [2]
    assert "1 conversations of its own test part" in split.how


def test_what_one_of_them_lacks():
    own, other = corpora(present={"text": np.array([True, False, True])})
    own = dataclasses.replace(
        own, speakers=tuple("ababab"), targets={"x": np.arange(6, dtype=np.float32)}
    )
    both, _ = cross_corpus.join(own, SPLIT, other)
    assert both.present["text"].tolist() == [True] * 6 + [False, True]
    assert both.speakers == (*"ab", *"bab", *["unknown"] * 3)
    np.testing.assert_array_equal(both.targets["x"], [0, 1, 3, 4, 5, *[np.nan] * 3])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": {"text": np.ones((3, 3), np.float32)}}, "speech"),
        ({"features": {"text": np.ones((3, 4), "f4"), "speech": np.eye(3, 2, dtype="f4")}},
         "4 features; expected the 3"),
        ({"label_names": ("YES", "odd")}, r"not trained on: odd; expected no, yes .*odd="),
        ({"labels": np.full(3, -1, np.int32)}, "no labelled utterance"),
    ],
    ids=["modality", "size", "label", "none"],
)  # fmt: skip
def test_what_does_not_match_is_refused(changes, said):
    own, other = corpora(**changes)
    with pytest.raises(InputError, match=said):
        cross_corpus.join(own, SPLIT, other)


def test_a_label_that_no_scored_utterance_has_does_no_harm():
    own, other = corpora(label_names=("yes", "odd"), split=("test", "train"))
    both, _ = cross_corpus.join(own, SPLIT, other)
    assert both.labels.tolist()[-1] == 1


def test_the_same_ids_are_told_or_refused():
    # c2 has 3 utterances here and 2 there, c1 is the own test part, which is not used.
    own, other = corpora(conversation_ids=("c1", "c2"))
    both, split = cross_corpus.join(own, SPLIT, other)
    assert both.conversation_ids == ("c0", "c2", "c1", "c2 (test)")
    assert "1 of 2 test conversations have the id of one in training" in split.notices[0]
    own, other = corpora(conversation_ids=("c1", "c0"))
    with pytest.raises(InputError, match="1 of them with as many utterances"):
        cross_corpus.join(own, SPLIT, other)


def test_the_same_features_are_refused(monkeypatch):
    monkeypatch.setattr(leaks, "LONG", 2)
    own, other = corpora()
    copied = {name: own.features[name][[5, 0, 1]] for name in own.features}
    with pytest.raises(InputError, match="same features as conversation"):
        cross_corpus.join(own, SPLIT, dataclasses.replace(other, features=copied))


def test_the_test_part_by_its_own_statistics():
    both, split = cross_corpus.join(corpora()[0], SPLIT, corpora()[1])
    one, each = (parts.prepare(both, split, scale_test=own) for own in (False, True))
    for part in ("train", "valid"):
        for name in both.features:
            np.testing.assert_array_equal(
                one.rows[part].features[name][:], each.rows[part].features[name][:]
            )
    speech = np.asarray(each.rows["test"].features["speech"])[each.rows["test"].mask]
    np.testing.assert_allclose(speech.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(speech[:, 0].std(), 1, rtol=1e-6)
    assert np.abs(np.asarray(one.rows["test"].features["speech"])).max() > 2
