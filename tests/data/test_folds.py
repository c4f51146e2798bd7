import dataclasses
import itertools

import numpy as np
import pytest

from mman_jax.data import folds, splits
from mman_jax.errors import InputError
from mman_jax.tasks import Classes, check_folds, tasks
from mman_jax.types import UNSCORED
from tests.data.small import corpus

SESSIONS = ("S2", "S1", "S3", "S3", "S4")


def of(count, **changes):
    return corpus(lengths=(1,) * count, **changes)


def numbers(split):
    return split.train.tolist(), split.valid.tolist(), split.test.tolist()


def spoken(lengths, seed=0, people=40):
    rng = np.random.default_rng(seed)
    names = tuple(f"s{s}" for s in rng.integers(0, people, len(lengths)))
    return corpus(lengths=lengths, speakers=tuple(np.repeat(names, lengths).tolist()))


def check_cycle(made, found):
    """Each conversation tests once and validates once, and the parts are disjoint and whole."""
    everything = list(range(len(made.lengths)))
    for part in ("valid", "test"):
        once = np.concatenate([getattr(fold.split, part) for fold in found])
        assert sorted(once.tolist()) == everything
    for fold, following in zip(found, [*found[1:], found[0]], strict=True):
        assert fold.split.valid.tolist() == following.split.test.tolist()
        assert sorted(itertools.chain(*numbers(fold.split))) == everything
        for part in ("train", "valid", "test"):
            chosen = getattr(fold.split, part)
            assert chosen.dtype == np.int64
            assert (np.diff(chosen) > 0).all()


def heard(made, conversations):
    return {s for c in conversations for s in made.speakers[made.utterances(c)]}


def check_speakers(made, found):
    for fold in found:
        train, valid, test = (heard(made, part) for part in numbers(fold.split))
        assert not (train | valid) & test
        assert not train & valid
        assert not fold.split.notices


def test_sessions_test_in_the_order_of_their_names_and_the_next_validates():
    made = of(5, sessions=SESSIONS, split=("train",) * 4 + ("test",))
    found = folds.folds(made, "sessions")
    check_cycle(made, found)
    assert [fold.name for fold in found] == ["S1", "S2", "S3", "S4"]
    assert numbers(found[0].split) == ([2, 3, 4], [0], [1])
    assert numbers(found[3].split) == ([0, 2, 3], [1], [4])
    assert "S4 tests, S1 validates" in found[3].split.how
    assert "the corpus's own split is not used" in found[3].split.how
    assert "not used" not in folds.folds(of(5, sessions=SESSIONS), "sessions")[0].split.how


def test_speakers_joined_through_others_are_one_group_named_after_the_first():
    # b and a meet in the first conversation, a and d in the third.
    said = ("b", "a", "c", "d", "a", "e", "z", "f")
    made = corpus(lengths=(2, 1, 2, 2, 1), speakers=said)
    found = folds.folds(made, "speakers")
    check_cycle(made, found)
    check_speakers(made, found)
    assert [(fold.name, fold.split.test.tolist()) for fold in found] == [
        ("a", [0, 2]),
        ("c", [1]),
        ("e", [3]),
        ("f", [4]),
    ]


@pytest.mark.parametrize("k", [3, 4, 11])
def test_groups_share_no_speaker_and_hold_about_as_many_labelled_utterances(k):
    rng = np.random.default_rng(k)
    made = spoken(tuple(rng.integers(1, 9, 120).tolist()))
    labels = np.where(rng.random(len(made.labels)) < 0.3, -1, made.labels).astype(np.int32)
    made = dataclasses.replace(made, labels=labels)
    found = folds.folds(made, str(k))
    check_cycle(made, found)
    check_speakers(made, found)
    assert [fold.name for fold in found] == [str(1 + i) for i in range(k)]
    known = [sum((labels[made.utterances(c)] >= 0).sum() for c in f.split.test) for f in found]
    assert max(known) < 1.25 * min(known)


def test_the_largest_conversation_goes_first_and_each_to_the_smallest_group():
    made = corpus(lengths=(1, 5, 2, 4, 3))
    found = folds.folds(made, "3")
    assert [fold.split.test.tolist() for fold in found] == [[1], [0, 3], [2, 4]]


def test_conversations_without_labels_leave_no_group_empty():
    made = of(5, labels=np.full(5, -1, np.int32))
    assert sorted(len(fold.split.test) for fold in folds.folds(made, "4")) == [1, 1, 1, 2]


@pytest.mark.parametrize("by", ["sessions", "speakers", "3", "5"])
def test_the_order_of_the_file_does_not_matter(by):
    rng = np.random.default_rng(1)
    made = spoken((1,) * 40, people=12)
    made = dataclasses.replace(
        made,
        sessions=tuple(f"S{s}" for s in rng.integers(1, 6, 40)),
        labels=rng.integers(-1, 2, 40).astype(np.int32),
    )
    order = rng.permutation(40)
    turned = dataclasses.replace(
        made,
        features={name: x[order] for name, x in made.features.items()},
        labels=made.labels[order],
        **{
            name: tuple(np.array(getattr(made, name))[order].tolist())
            for name in ("conversation_ids", "utterance_ids", "speakers", "sessions")
        },
    )

    def named(whose):
        return [
            (f.name, *({whose.conversation_ids[c] for c in part} for part in numbers(f.split)))
            for f in folds.folds(whose, by)
        ]

    assert named(made) == named(turned)


def test_one_fold_is_what_it_is_among_all():
    made = corpus(lengths=(2,) * 5, sessions=SESSIONS)
    for array in made.features.values():
        array[8] = array[0]  # an utterance of S4 and of S2
    for fold in folds.folds(made, "sessions"):
        alone = folds.fold(made, "sessions", fold.name)
        assert (alone.name, numbers(alone.split)) == (fold.name, numbers(fold.split))
        assert alone.split.notices == fold.split.notices
        copied = any("the features of an utterance in" in said for said in fold.split.notices)
        assert copied == (fold.name in ("S2", "S4"))
    with pytest.raises(InputError, match=r"^data.fold: unknown 'S9'; .*one of S1, S2, S3, S4"):
        folds.fold(made, "sessions", "S9")


@pytest.mark.parametrize(
    ("made", "by", "said"),
    [
        (of(5), "sesions", r"unknown 'sesions'; expected 'sessions'\? .*or a number of groups"),
        (of(5), "", "unknown ''; expected one of sessions, speakers, or a number"),
        (
            of(5),
            "sessions",
            "sessions, which small does not name; expected a number of groups instead",
        ),
        (of(5), "speakers", "speakers, which small does not name"),
        (of(5, speakers=tuple("abcde")), "sessions", ".*expected speakers or a number of groups"),
        (of(3, sessions=("S1",) * 3), "sessions", "1 session in small; expected at least 3"),
        (of(3, sessions=("S1", "S2", "S2")), "sessions", "2 sessions in small; expected at least"),
        (of(3, speakers=tuple("aba")), "speakers", "2 groups without a common speaker in small"),
        (of(3, speakers=tuple("aaa")), "speakers", "common speakers join all 3 conversations"),
        (of(3, speakers=tuple("aaa")), "3", "common speakers join all 3 conversations"),
        (of(5), "6", "6 groups from 5 conversations in small; expected 5 at most"),
        (of(5, speakers=tuple("abcca")), "4", "4 groups from 3 groups without a common speaker"),
        (of(5), "2", "2 groups; expected at least 3: test, validation and training"),
        (of(5), "1", "1 group; expected at least 3"),
        (of(5), "-4", "-4 groups; expected at least 3"),
        (of(5), "9" * 5000, "unknown '999"),
    ],
)
def test_what_cannot_be_folded_is_refused_in_one_line(made, by, said):
    with pytest.raises(InputError, match=f"^data.folds: {said}") as caught:
        folds.folds(made, by)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=f"^data.folds: {said}"):
        folds.fold(made, by, "1")


def test_the_same_conversation_in_two_parts_is_refused_as_in_any_split():
    made = of(40, sessions=("S1", "S2", "S3", "S4") * 10)
    speech = made.features["speech"].copy()
    speech[1::4] = speech[::4]
    made = dataclasses.replace(made, features={"speech": speech})
    with pytest.raises(InputError, match="the same features as conversation"):
        folds.folds(made, "sessions")


def test_speakers_of_several_sessions_are_told():
    made = of(4, sessions=("S1", "S2", "S3", "S4"), speakers=("a", "b", "a", "d"))
    first, second, *_ = folds.folds(made, "sessions")
    said = "1 of 1 speakers of the test part also speak in training or validation"
    assert first.split.notices == (said,)
    assert not second.split.notices


def auto(made):
    return tasks(made, "auto")


def test_a_fold_whose_training_lacks_a_class_is_refused_by_name():
    made = of(6, sessions=("S1", "S1", "S2", "S2", "S3", "S3"))
    for labels, fold in (([0, 1, 0, 1, 0, 0], "S1"), ([0, 0, 0, 1, 0, 1], "S2")):
        changed = dataclasses.replace(made, labels=np.array(labels, np.int32))
        found = folds.folds(changed, "sessions")
        said = rf"^data.folds: fold {fold}: no utterance in training is yes \(task auto\)"
        with pytest.raises(InputError, match=said):
            check_folds(changed, found, auto(changed))
    assert check_folds(made, folds.folds(made, "sessions"), auto(made)) == ()


def test_a_class_that_no_utterance_has_is_asked_of_no_fold():
    made = of(6, sessions=("S1", "S1", "S2", "S2", "S3", "S3"), label_names=("no", "yes", "so"))
    assert check_folds(made, folds.folds(made, "sessions"), auto(made)) == ()


def test_a_test_part_that_lacks_a_class_is_told():
    labels = np.array([0, 0, 0, 1, 0, 1, 0, 1], np.int32)
    made = of(8, sessions=tuple(np.repeat(("S1", "S2", "S3", "S4"), 2).tolist()), labels=labels)
    (said,) = check_folds(made, folds.folds(made, "sessions"), auto(made))
    assert said == "fold S1, task auto: no utterance in the test part is yes"


@pytest.mark.parametrize(
    ("session", "fold", "part"), [(0, "S1", "the test part"), (1, "S1", "the validation part")]
)
def test_a_part_in_which_nothing_is_scored_is_refused_under_the_task_that_matters(
    session, fold, part
):
    sessions = tuple(np.repeat(("S1", "S2", "S3", "S4"), 2).tolist())
    labels = np.array([0, 1] * 4, np.int32)
    labels[2 * session : 2 * session + 2] = 2
    made = of(8, sessions=sessions, labels=labels, label_names=("no", "yes", "maybe"))
    found = folds.folds(made, "sessions")
    certain = Classes("certain", ("no", "yes"), np.array([0, 1, UNSCORED], np.int32))
    said = f"^data.folds: fold {fold}: no utterance in {part} has a class of certain"
    with pytest.raises(InputError, match=said):
        check_folds(made, found, (certain,))


def check_inner(split, found):
    every = np.concatenate([fold.split.valid for fold in found])
    assert sorted(every.tolist()) == split.train.tolist()
    for fold in found:
        assert fold.split.test.tolist() == []
        assert fold.split.test.dtype == np.int64
        whole = np.concatenate([fold.split.train, fold.split.valid])
        assert sorted(whole.tolist()) == split.train.tolist()


def test_inner_each_session_validates_once_and_nothing_tests():
    made = of(10, sessions=("S1", "S2", "S3", "S4", "S5") * 2)
    split = folds.fold(made, "sessions", "S2").split
    found = folds.inner(made, split)
    check_inner(split, found)
    assert [fold.name for fold in found] == ["S1", "S4", "S5"]
    assert found[0].split.valid.tolist() == [0, 5]
    assert check_folds(made, found, auto(made)) == ()


def test_inner_two_sessions_make_two_folds_where_they_are_asked_for():
    made = of(8, sessions=("S1", "S2", "S3", "S4") * 2)
    split = folds.fold(made, "sessions", "S1").split
    assert [fold.name for fold in folds.inner(made, split, "sessions")] == ["S3", "S4"]
    assert [fold.name for fold in folds.inner(made, split)] == ["1", "2", "3"]
    said = "expected at least 2: validation and training"
    with pytest.raises(InputError, match=f"^data.folds: 1 group; {said}"):
        folds.inner(made, split, "1")


def test_inner_groups_share_no_speaker_where_that_is_possible():
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
def test_inner_speakers_that_are_everywhere_do_not_forbid_folds(speakers):
    made = of(12, speakers=speakers)
    split = splits.Split(np.arange(12), np.arange(0), np.arange(0), "all trains")
    group = folds.inner_groups(made, split.train, 3)
    assert np.bincount(group).tolist() == [4, 4, 4]
    found = folds.inner(made, split)
    check_inner(split, found)
    assert len(found) == 3
    for fold in found:
        assert any("also speak in training" in n for n in fold.split.notices) == bool(speakers)


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
