"""Folds inside the training part."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data import folds, splits
from mman_jax.data.protocols import check_folds
from mman_jax.errors import InputError
from tests.data.test_folds import auto, heard, of, spoken


def check_inner(split, found):
    every = np.concatenate([fold.split.valid for fold in found])
    assert sorted(every.tolist()) == split.train.tolist()
    for fold in found:
        assert fold.split.test.tolist() == []
        assert fold.split.test.dtype == np.int64
        whole = np.concatenate([fold.split.train, fold.split.valid])
        assert sorted(whole.tolist()) == split.train.tolist()


def test_inside_training_each_session_validates_once_and_nothing_tests():
    made = of(10, sessions=("S1", "S2", "S3", "S4", "S5") * 2)
    split = folds.fold(made, "sessions", "S2").split
    found = folds.inner(made, split)
    check_inner(split, found)
    assert [fold.name for fold in found] == ["S1", "S4", "S5"]
    assert found[0].split.valid.tolist() == [0, 5]
    assert check_folds(made, found, auto(made)) == ()


def test_inside_training_two_sessions_make_two_folds_where_they_are_asked_for():
    made = of(8, sessions=("S1", "S2", "S3", "S4") * 2)
    split = folds.fold(made, "sessions", "S1").split
    assert [fold.name for fold in folds.inner(made, split, "sessions")] == ["S3", "S4"]
    assert [fold.name for fold in folds.inner(made, split)] == ["1", "2", "3"]
    said = "expected at least 2: validation and training"
    with pytest.raises(InputError, match=f"^data.folds: 1 group; {said}"):
        folds.inner(made, split, "1")


def test_inside_training_groups_share_no_speaker_where_that_is_possible():
    made = spoken((1,) * 30, people=12)
    split = splits.split(made)
    found = folds.inner(made, split)
    check_inner(split, found)
    assert len(found) == folds.INNER
    for fold in found:
        assert not heard(made, fold.split.train) & heard(made, fold.split.valid)
    two = dataclasses.replace(made, speakers=("a", "b") * 15)
    split = dataclasses.replace(split, train=np.arange(20))
    assert [f.split.valid.tolist() for f in folds.inner(two, split)] == [
        list(range(0, 20, 2)),
        list(range(1, 20, 2)),
    ]


@pytest.mark.parametrize("speakers", [("a",) * 12, ("a",) * 11 + ("b",), None])
def test_inside_training_speakers_that_are_everywhere_do_not_forbid_folds(speakers):
    made = of(12, speakers=speakers)
    split = splits.Split(np.arange(12), np.arange(0), np.arange(0), "all trains")
    group = folds.inner_groups(made, split.train, 3)
    assert np.bincount(group).tolist() == [4, 4, 4]
    found = folds.inner(made, split)
    check_inner(split, found)
    assert len(found) == 3
    for fold in found:
        assert any("are heard in training, too" in n for n in fold.split.notices) == bool(speakers)


def test_inner_groups_are_by_conversation_in_the_order_given():
    made = of(9, speakers=tuple("abcabcabc"))
    group = folds.inner_groups(made, np.array([8, 0, 1, 2, 5]), 3)
    assert group[0] == group[3] == group[4]
    assert sorted({int(g) for g in group[:3]}) == [0, 1, 2]


def test_too_few_conversations_for_folds_inside_training():
    made = of(3)
    split = splits.split(made)
    with pytest.raises(InputError, match="1 training conversation in 2 groups; expected at leas"):
        folds.inner(made, split)
