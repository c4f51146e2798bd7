import itertools

import numpy as np
import pytest

from mman_jax.data import splits
from tests.data.small import corpus, of, refuses

TEN_TRAIN = ("train",) * 10


def parts(split):
    return split.train.tolist(), split.valid.tolist(), split.test.tolist()


def checked(made, *name):
    """The split of a corpus, each part sorted and not empty, and together every conversation."""
    split = splits.split(made, *name)
    assert sorted(itertools.chain(*parts(split))) == list(range(len(made.lengths)))
    for part in (split.train, split.valid, split.test):
        assert part.dtype == np.int64
        assert len(part)
        assert (np.diff(part) > 0).all()
    return split


GIVEN = {
    "complete split": ({"split": ("test", "train", "valid", "train"), "sessions": tuple("abcd")},
                       [2], [0], ""),
    "last training session": ({"split": ("train",) * 4 + ("test",) * 2,
                               "sessions": ("S2", "S1", "S3", "S3", "S9", "S9")},
                              [2, 3], [4, 5], "session S3"),
    "last sessions": ({"sessions": ("S1", "S2", "S3", "S3", "S2")},
                      [1, 4], [2, 3], "test: session S3"),
    "smallest group of speakers": ({"split": ("train",) * 8 + ("test",),
                                    "speakers": tuple("AAAAABBBZ")},
                                   [5, 6, 7], [8], "speakers that are not in training"),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_a_given_split_is_used_and_missing_parts_are_held_out(name):
    changes, valid, test, how = GIVEN[name]
    split = checked(of(len(next(iter(changes.values()))), **changes))
    assert (split.valid.tolist(), split.test.tolist()) == (valid, test)
    assert how in split.how


def test_with_one_training_session_speakers_or_a_fifth_of_conversations_validate():
    changes = {"split": (*TEN_TRAIN, "test", "test"), "sessions": ("S1",) * 10 + ("S2",) * 2}
    split = checked(of(12, **changes))
    assert len(split.valid) == 2
    assert "a fixed fifth, 2 conversations" in split.how
    speakers = tuple("AABBCCDDEEZZ")
    split = checked(of(12, speakers=speakers, **changes))
    assert len(split.valid) == 2
    assert speakers[split.valid[0]] == speakers[split.valid[1]]
    assert "speakers that are not in training" in split.how


def test_speakers_are_disjoint_even_through_others():
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = tuple(rng.integers(1, 4, 30).tolist())
        speakers = tuple(str(s) for s in rng.integers(0, 60, sum(lengths)))
        made = corpus(lengths=lengths, speakers=speakers)
        split = checked(made)
        train, valid = (
            {s for c in part for s in made.speakers[made.utterances(c)]}
            for part in (split.train, split.valid)
        )
        assert "also in training" in split.how or not train & valid


def test_a_single_group_of_speakers_is_split_and_reported():
    split = checked(of(11, split=(*TEN_TRAIN, "test"), speakers=("A",) * 11))
    assert len(split.valid) == 2
    assert "also in training" in split.how


def test_with_two_sessions_one_validates_and_neither_is_the_test_part():
    split = checked(of(10, sessions=("S1",) * 5 + ("S2",) * 5))
    assert split.how.startswith("test: a fixed fifth, 2 conversations, held out; validation: sess")
    assert len(split.test) == 2


def test_groups_of_one_conversation_are_chosen_as_without_speakers():
    changes = {"split": (*TEN_TRAIN, "test")}
    alone, without = of(11, speakers=tuple("ABCDEFGHIJK"), **changes), of(11, **changes)
    assert checked(alone).valid.tolist() == checked(without).valid.tolist()


@pytest.mark.parametrize(("count", "sizes"), [(25, [16, 4, 5]), (3, [1, 1, 1]), (4, [2, 1, 1])])
def test_without_any_information_a_fifth_tests_and_a_fifth_validates(count, sizes):
    labels = np.full(count, -1, np.int32)
    for made in (of(count), of(count, labels=labels)):
        assert list(map(len, parts(checked(made)))) == sizes


def test_the_order_of_the_file_does_not_matter():
    ids = [f"c{i}" for i in range(40)]
    turned = splits.split(of(40, conversation_ids=tuple(reversed(ids))))
    for one, other in zip(parts(splits.split(of(40))), parts(turned), strict=True):
        assert one == sorted(39 - c for c in other)


def test_held_out_conversations_do_not_change():
    # Hashes of ids decide; a change here changes every published number.
    split = splits.split(of(12, split=(*TEN_TRAIN, "test", "test")))
    assert split.valid.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("names", "empty"),
    [("train test", "valid"), ("train train", "test"), ("test valid", "train"),
     ("train valid", "test")],
)  # fmt: skip
def test_an_empty_part_is_refused(names, empty):
    words = f"small: split: an empty split: no conversation in {empty}"
    refuses(lambda: splits.split(of(2, split=tuple(names.split()))), words)
    refuses(lambda: splits.split(of(1)), "empty split")


IEMOCAP = ("Ses01F_impro01", "Ses02M_script01_1", "Ses03F_x", "Ses04F_x", "Ses05M_x", "Ses01M_x")
SESSIONS = tuple(name[:5] for name in IEMOCAP)


@pytest.mark.parametrize(
    "changes",
    [
        {"conversation_ids": IEMOCAP, "split": ("train",) * 5 + ("test",)},
        {"sessions": SESSIONS},
        {"conversation_ids": IEMOCAP, "sessions": tuple("123451")},
    ],
)
def test_raven_uses_iemocap_s_sessions_instead_of_the_corpus_s_split(changes):
    split = checked(of(6, **changes), "raven")
    assert parts(split) == ([2, 3, 4], [1], [0, 5])
    assert "sessions 3 to 5 train" in split.how


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sessions": ("S1", "S2", "S3", "S4", "S5", "S1")},
        {"conversation_ids": ("Ses06F_x", *IEMOCAP[1:])},
        {"conversation_ids": ("x", *IEMOCAP[1:])},
        {"conversation_ids": tuple(name.replace("Ses04F", "Ses03M") for name in IEMOCAP)},
        {"sessions": ("Ses01", "Ses02", "Ses03", "Ses04", "Ses04", "Ses01")},
    ],
)
def test_raven_is_refused_for_other_sessions_than_iemocap_s(changes):
    refuses(lambda: splits.split(of(6, **changes), "raven"), "data.split: raven", "Ses01, Ses")


def test_raven_refuses_a_conversation_in_two_parts():
    made = corpus(lengths=(9,) * 6, conversation_ids=IEMOCAP)
    for array in made.features.values():
        array[9:18] = array[18:27]
    refuses(lambda: splits.split(made, "raven"), "the same features as conversation")
    refuses(lambda: splits.split(made, "ravn"), "data.split: unknown 'ravn'", "'raven'?")
