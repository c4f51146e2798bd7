import dataclasses
import itertools

import numpy as np
import pytest

from mman_jax.data import folds, splits
from mman_jax.tasks import Classes, check_folds, tasks
from mman_jax.types import UNSCORED
from tests.data.small import corpus, of, refuses

SESSIONS = ("S2", "S1", "S3", "S3", "S4")


def numbers(split):
    return split.train.tolist(), split.valid.tolist(), split.test.tolist()


def names(count):
    """The sessions of `count` conversations each, in order."""
    return tuple(np.repeat(("S1", "S2", "S3", "S4"), count).tolist())


def spoken(lengths, seed=0, people=40):
    """Conversations of one random speaker each."""
    rng = np.random.default_rng(seed)
    speakers = tuple(f"s{s}" for s in rng.integers(0, people, len(lengths)))
    return corpus(lengths=lengths, speakers=tuple(np.repeat(speakers, lengths).tolist()))


def check_cycle(made, found):
    """Each conversation tests once and validates once, and each fold has every conversation."""
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


def speakers_of(made, conversations):
    return {s for c in conversations for s in made.speakers[made.utterances(c)]}


def check_speakers(made, found):
    for fold in found:
        train, valid, test = (speakers_of(made, part) for part in numbers(fold.split))
        assert not (train | valid) & test
        assert not train & valid
        assert not fold.split.notices


def test_sessions_test_in_the_order_of_their_names_and_the_next_one_validates():
    made = of(5, sessions=SESSIONS, split=("train",) * 4 + ("test",))
    found = folds.folds(made, "sessions")
    check_cycle(made, found)
    assert [fold.name for fold in found] == ["S1", "S2", "S3", "S4"]
    assert numbers(found[0].split) == ([2, 3, 4], [0], [1])
    assert numbers(found[3].split) == ([0, 2, 3], [1], [4])
    assert "session S4 is tested, session S1 validates" in found[3].split.how
    assert "the corpus's split is not used" in found[3].split.how
    assert "not used" not in folds.folds(of(5, sessions=SESSIONS), "sessions")[0].split.how


def test_speakers_who_meet_are_in_one_group_named_after_the_first():
    # b and a meet in the first conversation, a and d in the third.
    made = corpus(lengths=(2, 1, 2, 2, 1), speakers=("b", "a", "c", "d", "a", "e", "z", "f"))
    found = folds.folds(made, "speakers")
    check_cycle(made, found)
    check_speakers(made, found)
    tested = {fold.name: fold.split.test.tolist() for fold in found}
    assert tested == {"a": [0, 2], "c": [1], "e": [3], "f": [4]}


@pytest.mark.parametrize("k", [3, 4, 11])
def test_groups_share_no_speaker_and_have_similar_numbers_of_labels(k):
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


def test_the_largest_conversation_is_placed_first_each_into_the_smallest_group():
    found = folds.folds(corpus(lengths=(1, 5, 2, 4, 3)), "3")
    assert [fold.split.test.tolist() for fold in found] == [[1], [0, 3], [2, 4]]


def test_conversations_without_labels_leave_no_group_empty():
    made = of(5, labels=np.full(5, -1, np.int32))
    assert sorted(len(fold.split.test) for fold in folds.folds(made, "4")) == [1, 1, 1, 2]


@pytest.mark.parametrize("by", ["sessions", "speakers", "3", "5"])
def test_the_order_of_the_file_does_not_matter(by):
    rng = np.random.default_rng(1)
    made = spoken((1,) * 40, people=12)
    sessions = tuple(f"S{s}" for s in rng.integers(1, 6, 40))
    labels = rng.integers(-1, 2, 40).astype(np.int32)
    made = dataclasses.replace(made, sessions=sessions, labels=labels)

    def named(corpus):
        return [
            (f.name, *({corpus.conversation_ids[c] for c in part} for part in numbers(f.split)))
            for f in folds.folds(corpus, by)
        ]

    assert named(made) == named(made.select_conversations(rng.permutation(40)))


def test_one_fold_equals_that_among_all():
    made = corpus(lengths=(2,) * 5, sessions=SESSIONS)
    for array in made.features.values():
        array[8] = array[0]  # an utterance of S4 and of S2
    for fold in folds.folds(made, "sessions"):
        alone = folds.fold(made, "sessions", fold.name)
        assert (alone.name, numbers(alone.split)) == (fold.name, numbers(fold.split))
        assert alone.split.notices == fold.split.notices
        copied = any("the features of an utterance in" in line for line in fold.split.notices)
        assert copied == (fold.name in ("S2", "S4"))
    refuses(lambda: folds.fold(made, "sessions", "S9"), "data.fold: unknown 'S9'", "S1, S2, S3, S4")


REFUSED = [
    (of(5), "sesions", ["unknown 'sesions'", "'sessions'?", "or a number of groups"]),
    (of(5), "", ["unknown ''", "one of sessions, speakers, or a number"]),
    (of(5), "sessions", ["small does not name", "a number of groups instead"]),
    (of(5), "speakers", ["speakers, which small does not name"]),
    (of(5, speakers=tuple("abcde")), "sessions", ["expected speakers or a number of groups"]),
    (of(3, sessions=("S1",) * 3), "sessions", ["1 session in small", "at least 3"]),
    (of(3, sessions=("S1", "S2", "S2")), "sessions", ["2 sessions in small", "at least 3"]),
    (of(3, speakers=tuple("aba")), "speakers", ["2 groups without a common speaker in small"]),
    (of(3, speakers=tuple("aaa")), "speakers", ["common speakers join all 3 conversations"]),
    (of(3, speakers=tuple("aaa")), "3", ["common speakers join all 3 conversations"]),
    (of(5), "6", ["6 groups from 5 conversations in small", "5 at most"]),
    (of(5, speakers=tuple("abcca")), "4", ["4 groups from 3 groups without a common speaker"]),
    (of(5), "2", ["2 groups", "at least 3"]),
    (of(5), "1", ["1 group;", "at least 3"]),
    (of(5), "-4", ["-4 groups", "at least 3"]),
    (of(5), "9" * 5000, ["unknown '999"]),
]


@pytest.mark.parametrize(("made", "by", "words"), REFUSED)
def test_impossible_folds_are_refused(made, by, words):
    refuses(lambda: folds.folds(made, by), "data.folds: ", *words)
    refuses(lambda: folds.fold(made, by, "1"), "data.folds: ", *words)


def test_leaks_between_folds():
    made = of(40, sessions=("S1", "S2", "S3", "S4") * 10)
    speech = made.features["speech"].copy()
    speech[1::4] = speech[::4]
    made = dataclasses.replace(made, features={"speech": speech})
    refuses(lambda: folds.folds(made, "sessions"), "the same features as conversation")
    made = of(4, sessions=names(1), speakers=("a", "b", "a", "d"))
    first, second, *_ = folds.folds(made, "sessions")
    notice = "1 of 1 speakers of the test part also speak in training or validation"
    assert first.split.notices == (notice,)
    assert not second.split.notices


def checked(labels, sessions, *only, **changes):
    """Returns the notices of `check_folds` about folds by session."""
    labels = np.array(labels, np.int32)
    made = of(len(labels), sessions=sessions, labels=labels, **changes)
    return check_folds(made, folds.folds(made, "sessions"), only or tasks(made, "auto"))


@pytest.mark.parametrize(("labels", "fold"), [([0, 1, 0, 1, 0, 0], 1), ([0, 0, 0, 1, 0, 1], 2)])
def test_a_fold_without_a_class_in_training_is_refused(labels, fold):
    words = (f"data.folds: fold S{fold}: ", "training is yes (task auto)")
    refuses(lambda: checked(labels, names(2)[:6]), *words)


def test_classes_that_parts_lack_are_reported():
    labels = [0, 1] * 3
    assert checked(labels, names(2)[:6]) == ()
    assert checked(labels, names(2)[:6], label_names=("no", "yes", "never")) == ()
    (notice,) = checked([0, 0, 0, 1, 0, 1, 0, 1], names(2))
    assert notice == "fold S1, task auto: no utterance in the test part is yes"


@pytest.mark.parametrize(("session", "part"), [(0, "the test part"), (1, "the validation part")])
def test_a_part_without_scored_utterances_is_refused(session, part):
    labels = [0, 1] * 4
    labels[2 * session : 2 * session + 2] = [2, 2]
    certain = Classes("certain", ("no", "yes"), np.array([0, 1, UNSCORED], np.int32))
    words = f"data.folds: fold S1: no utterance in {part} has a class of certain"
    refuses(lambda: checked(labels, names(2), certain, label_names=("no", "yes", "maybe")), words)


def check_inner(split, found):
    once = np.concatenate([fold.split.valid for fold in found])
    assert sorted(once.tolist()) == split.train.tolist()
    for fold in found:
        assert fold.split.test.tolist() == []
        assert fold.split.test.dtype == np.int64
        both = np.concatenate([fold.split.train, fold.split.valid])
        assert sorted(both.tolist()) == split.train.tolist()


def test_in_inner_folds_each_session_validates_once_and_nothing_tests():
    made = of(10, sessions=("S1", "S2", "S3", "S4", "S5") * 2)
    split = folds.fold(made, "sessions", "S2").split
    found = folds.inner(made, split)
    check_inner(split, found)
    assert [fold.name for fold in found] == ["S1", "S4", "S5"]
    assert found[0].split.valid.tolist() == [0, 5]
    assert check_folds(made, found, tasks(made, "auto")) == ()


def test_two_sessions_make_two_inner_folds_only_on_request():
    made = of(8, sessions=("S1", "S2", "S3", "S4") * 2)
    split = folds.fold(made, "sessions", "S1").split
    assert [fold.name for fold in folds.inner(made, split, "sessions")] == ["S3", "S4"]
    assert [fold.name for fold in folds.inner(made, split)] == ["1", "2", "3"]
    refuses(lambda: folds.inner(made, split, "1"), "data.folds: 1 group", "at least 2")
    small = of(3)
    refuses(lambda: folds.inner(small, splits.split(small)), "1 training conversation in 2 groups")


def test_inner_groups_share_no_speaker_if_possible():
    made = spoken((1,) * 30, people=12)
    split = splits.split(made)
    found = folds.inner(made, split)
    check_inner(split, found)
    assert len(found) == folds.INNER
    for fold in found:
        assert not speakers_of(made, fold.split.train) & speakers_of(made, fold.split.valid)
    two = dataclasses.replace(made, speakers=("a", "b") * 15)
    found = folds.inner(two, dataclasses.replace(split, train=np.arange(20)))
    assert [f.split.valid.tolist() for f in found] == [[*range(0, 20, 2)], [*range(1, 20, 2)]]
    made = of(9, speakers=tuple("abcabcabc"))
    group = folds.inner_groups(made, np.array([8, 0, 1, 2, 5]), 3)
    assert group[0] == group[3] == group[4]
    assert sorted({int(g) for g in group[:3]}) == [0, 1, 2]


@pytest.mark.parametrize("speakers", [("a",) * 12, ("a",) * 11 + ("b",), None])
def test_speakers_who_are_everywhere_do_not_prevent_inner_folds(speakers):
    made = of(12, speakers=speakers)
    split = splits.Split(np.arange(12), np.arange(0), np.arange(0), "all trains")
    assert np.bincount(folds.inner_groups(made, split.train, 3)).tolist() == [4, 4, 4]
    found = folds.inner(made, split)
    check_inner(split, found)
    assert len(found) == 3
    for fold in found:
        assert any("also speak in training" in n for n in fold.split.notices) == bool(speakers)
