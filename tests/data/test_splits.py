import numpy as np
import pytest

from mman_jax.data import splits
from mman_jax.errors import InputError
from tests.data.small import corpus


def of(count, **changes):
    return corpus(lengths=(1,) * count, **changes)


def check(made, split):
    parts = [split.train, split.valid, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(made.lengths)))
    for part in parts:
        assert part.dtype == np.int64
        assert len(part)
        assert (np.diff(part) > 0).all()


SIX = ("train",) * 4 + ("test",) * 2


@pytest.mark.parametrize(
    ("count", "changes", "test", "valid", "how"),
    [
        (
            4,
            {"split": ("test", "train", "valid", "train"), "sessions": tuple("abcd")},
            [0],
            [2],
            "",
        ),
        (
            6,
            {"split": SIX, "sessions": ("S2", "S1", "S3", "S3", "S9", "S9")},
            [4, 5],
            [2, 3],
            "session S3",
        ),
        (5, {"sessions": ("S1", "S2", "S3", "S3", "S2")}, [2, 3], [1, 4], "test: session S3"),
        # The smallest of large groups of speakers validates.
        (
            9,
            {"split": ("train",) * 8 + ("test",), "speakers": tuple("AAAAABBBZ")},
            [8],
            [5, 6, 7],
            "speakers that are not in training",
        ),
    ],
    ids=["whole split", "last training session", "last sessions", "smallest group"],
)
def test_a_split_is_taken_and_what_it_lacks_is_held_out(count, changes, test, valid, how):
    made = of(count, **changes)
    split = splits.split(made)
    check(made, split)
    assert (split.test.tolist(), split.valid.tolist()) == (test, valid)
    assert how in split.how


def test_one_training_session_falls_back_to_speakers_then_to_a_fifth():
    parts = ("train",) * 10 + ("test",) * 2
    sessions = ("S1",) * 10 + ("S2",) * 2
    without = splits.split(of(12, split=parts, sessions=sessions))
    assert len(without.valid) == 2
    assert "a fixed fifth, 2 conversations" in without.how
    speakers = tuple("AABBCCDDEEZZ")
    grouped = splits.split(of(12, split=parts, sessions=sessions, speakers=speakers))
    assert len(grouped.valid) == 2
    assert speakers[grouped.valid[0]] == speakers[grouped.valid[1]]
    assert "speakers that are not in training" in grouped.how


def test_speakers_never_lie_in_two_parts_even_through_others():
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = tuple(rng.integers(1, 4, 30).tolist())
        speakers = tuple(str(s) for s in rng.integers(0, 60, sum(lengths)))
        made = corpus(lengths=lengths, speakers=speakers)
        split = splits.split(made)
        check(made, split)
        if "also in training" in split.how:
            continue

        def said(part, made=made):
            return {s for c in part for s in made.speakers[made.utterances(c)]}

        assert not said(split.train) & said(split.valid)


def test_one_group_of_speakers_falls_back_and_says_so():
    made = of(11, split=("train",) * 10 + ("test",), speakers=("A",) * 11)
    split = splits.split(made)
    check(made, split)
    assert len(split.valid) == 2
    assert "also in training" in split.how


def test_of_two_sessions_without_a_split_one_validates_and_none_is_the_test_part():
    split = splits.split(of(10, sessions=("S1",) * 5 + ("S2",) * 5))
    assert split.how.startswith("test: a fixed fifth, 2 conversations, held out; validation: sess")
    assert len(split.test) == 2


def test_groups_of_speakers_fill_a_fifth_and_no_more():
    # A conversation of each speaker's own: two of ten are as many as without speakers.
    parts = ("train",) * 10 + ("test",)
    alone = splits.split(of(11, split=parts, speakers=tuple("ABCDEFGHIJK")))
    without = splits.split(of(11, split=parts))
    assert alone.valid.tolist() == without.valid.tolist()
    assert len(alone.valid) == 2


@pytest.mark.parametrize(("count", "sizes"), [(25, (16, 4, 5)), (3, (1, 1, 1))])
def test_without_anything_a_fifth_and_a_fifth(count, sizes):
    split = splits.split(of(count))
    check(of(count), split)
    assert (len(split.train), len(split.valid), len(split.test)) == sizes


def test_the_order_of_the_file_does_not_matter():
    names = [f"c{i}" for i in range(40)]
    turned = of(40, conversation_ids=tuple(reversed(names)))
    straight, back = splits.split(of(40)), splits.split(turned)
    for part in ("train", "valid", "test"):
        left = {names[c] for c in getattr(straight, part)}
        right = {turned.conversation_ids[c] for c in getattr(back, part)}
        assert left == right


def test_it_stays_what_it_was():
    # Hashes of ids decide; a change here changes every published number.
    split = splits.split(of(12, split=("train",) * 10 + ("test",) * 2))
    assert split.valid.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("parts", "empty"),
    [
        (("train", "test"), "valid"),
        (("train", "train"), "test"),
        (("test", "valid"), "train"),
        (("train", "valid"), "test"),
        (None, "valid"),
    ],
)
def test_an_empty_part_is_refused(parts, empty):
    match = f"small: split: an empty split: no conversation in {empty}" if parts else "empty split"
    with pytest.raises(InputError, match=match):
        splits.split(of(len(parts or "1"), split=parts))


def test_conversations_without_labels_are_split_too():
    labels = np.array([-1, 0, 1, -1], np.int32)
    check(of(4), splits.split(of(4, labels=labels)))


IEMOCAP = ("Ses01F_impro01", "Ses02M_script01_1", "Ses03F_x", "Ses04F_x", "Ses05M_x", "Ses01M_x")


def check_raven(split):
    assert (split.train.tolist(), split.valid.tolist(), split.test.tolist()) == (
        [2, 3, 4],
        [1],
        [0, 5],
    )


def test_raven_takes_the_sessions_of_the_cited_systems_whatever_split_the_corpus_has():
    made = of(6, conversation_ids=IEMOCAP, split=("train",) * 5 + ("test",))
    check(made, splits.split(made, "raven"))
    check_raven(splits.split(made, "raven"))
    assert "sessions 3 to 5 train" in splits.split(made, "raven").how
    sessions = tuple(name[:5] for name in IEMOCAP)
    check_raven(splits.split(of(6, sessions=sessions), "raven"))
    # A session may be named otherwise than its conversations.
    check_raven(splits.split(of(6, conversation_ids=IEMOCAP, sessions=tuple("123451")), "raven"))


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
def test_raven_is_for_the_five_sessions_of_iemocap(changes):
    said = (
        "^data.split: raven, for small of other sessions than IEMOCAP's; expected .* of Ses01, Ses"
    )
    with pytest.raises(InputError, match=said):
        splits.split(of(6, **changes), "raven")


def test_an_unknown_split_is_named_beside_the_known():
    with pytest.raises(InputError, match=r"^data.split: unknown 'ravn'; expected 'raven'\?"):
        splits.split(of(6), "ravn")


def test_raven_refuses_a_conversation_in_two_parts():
    made = corpus(lengths=(9,) * 6, conversation_ids=IEMOCAP)
    for array in made.features.values():
        array[9:18] = array[18:27]
    with pytest.raises(InputError, match="the same features as conversation"):
        splits.split(made, "raven")
