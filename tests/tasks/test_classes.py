import dataclasses

import numpy as np
import pytest

from mman_jax.data import folds, splits
from mman_jax.data.label_names import EMOTIONS, check_table_1
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.tasks import check_folds, tasks
from mman_jax.types import UNSCORED
from tests import iemocap_pickle
from tests.data.small import corpus

SHORT = ("Neutral", "hap", "SAD", "ang", "exc", "fru", "surprised")


def short_named():
    """Seven utterances, one of each label, and one without."""
    labels = np.array([0, 1, 2, 3, 4, 5, 6, -1], np.int32)
    return corpus(lengths=(8,), labels=labels, label_names=SHORT)


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle") / "iemocap.pkl"
    iemocap_pickle.write(path, dims=(2, 1, 3))
    return read_corpus(path)


def scored(corpus, task, part):
    labels = task.labels(corpus)[np.repeat(corpus.split, corpus.lengths) == part]
    return np.bincount(labels[labels != UNSCORED], minlength=len(task.classes)).tolist()


def test_auto_is_the_corpus_s_own():
    (task,) = tasks(short_named(), "auto")
    assert task.classes == SHORT
    assert task.labels(short_named()).tolist() == [0, 1, 2, 3, 4, 5, 6, -1]


def test_mman4_merges_and_leaves_the_rest_as_context():
    (task,) = tasks(short_named(), "mman4")
    assert task.classes == ("happy", "sad", "neutral", "angry")
    assert task.labels(short_named()).tolist() == [2, 0, 1, 3, 0, 1, -1, -1]
    assert task.labels(short_named()).dtype == np.int32


def test_iemocap4_merges_excited_into_happy_and_nothing_into_sad():
    (task,) = tasks(short_named(), "iemocap4")
    assert (task.name, task.classes) == ("iemocap4", ("happy", "sad", "neutral", "angry"))
    assert task.labels(short_named()).tolist() == [2, 0, 1, 3, 0, -1, -1, -1]


# Of each session of IEMOCAP: happy with excited, sad, neutral, angry.
COUNTS = np.array(
    [
        (278, 194, 384, 229),
        (327, 197, 362, 137),
        (286, 305, 320, 240),
        (303, 143, 258, 327),
        (442, 245, 384, 170),
    ]
)


def five_sessions(seed=0):
    """A corpus with these counts, a half of `happy` excited, and others between them."""
    rng = np.random.default_rng(seed)
    names = ("surprised", *EMOTIONS)
    labels, lengths, sessions = [], [], []
    for number, (happy, sad, neutral, angry) in enumerate(COUNTS, 1):
        # By name: surprised, happy, sad, neutral, angry, excited, frustrated, and no label.
        counts = (20, happy // 2, sad, neutral, angry, happy - happy // 2, 370, 110)
        pool = rng.permutation(np.repeat((0, 1, 2, 3, 4, 5, 6, -1), counts))
        labels.append(pool)
        cuts = np.sort(rng.choice(np.arange(1, len(pool)), 29, replace=False))
        lengths.append(np.diff([0, *cuts, len(pool)]))
        sessions += [f"Ses0{number}"] * 30
    labels = np.concatenate(labels).astype(np.int32)
    lengths = np.concatenate(lengths).tolist()
    return corpus(
        lengths=lengths,
        dims={"speech": 1},
        labels=labels,
        label_names=names,
        sessions=tuple(sessions),
        conversation_ids=tuple(f"{name}F_impro{i:02d}" for i, name in enumerate(sessions)),
    )


def test_iemocap4_scores_as_many_utterances_of_each_session_as_other_work():
    made = five_sessions()
    (task,) = tasks(made, "iemocap4")
    labels = task.labels(made)
    found = folds.folds(made, "sessions")
    assert check_folds(made, found, (task,)) == ()
    for fold, counts in zip(found, COUNTS, strict=True):
        own = np.concatenate([labels[made.utterances(c)] for c in fold.split.test])
        assert np.bincount(own[own != UNSCORED]).tolist() == counts.tolist()
    assert COUNTS.sum(1).tolist() == [1085, 1023, 1151, 1031, 1241]
    assert (labels != UNSCORED).sum() == 5531
    # Sessions 3 to 5, 2 and 1.
    split = splits.split(made, "raven")
    parts = [
        sum((labels[made.utterances(c)] != UNSCORED).sum() for c in part)
        for part in (split.train, split.valid, split.test)
    ]
    assert parts == [1151 + 1031 + 1241, 1023, 1085]


def test_iemocap6_in_its_own_order():
    (task,) = tasks(short_named(), "iemocap6")
    assert task.classes == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert task.labels(short_named()).tolist() == [2, 0, 1, 3, 4, 5, -1, -1]


def test_binary4_scores_neither_excited_nor_frustrated():
    binary = tasks(short_named(), "binary4")
    assert [task.name for task in binary] == ["happy", "sad", "neutral", "angry"]
    assert [task.classes for task in binary][1] == ("not_sad", "sad")
    assert binary[1].labels(short_named()).tolist() == [0, 0, 1, 0, -1, -1, -1, -1]


def test_counts_of_the_paper(iemocap):
    (mman4,) = tasks(iemocap, "mman4")
    assert scored(iemocap, mman4, "test") == [443, 626, 384, 170]
    assert sum(scored(iemocap, mman4, "test")) == 1623
    (iemocap4,) = tasks(iemocap, "iemocap4")
    assert scored(iemocap, iemocap4, "test") == [443, 245, 384, 170]
    (iemocap6,) = tasks(iemocap, "iemocap6")
    assert scored(iemocap, iemocap6, "train") == [504, 839, 1324, 933, 742, 1468]
    assert sum(scored(iemocap, iemocap6, "test")) == 1623
    for task, positives in zip(tasks(iemocap, "binary4"), [144, 245, 384, 170], strict=True):
        assert scored(iemocap, task, "test") == [943 - positives, positives]


def test_table_1_agrees_whatever_the_order_of_the_labels(iemocap):
    assert check_table_1(iemocap) is None
    turned = dataclasses.replace(
        iemocap, label_names=iemocap.label_names[::-1], labels=5 - iemocap.labels
    )
    assert check_table_1(turned) is None


def test_table_1_mismatch_is_said_with_both_counts(iemocap):
    labels = iemocap.labels.copy()
    test = np.repeat(iemocap.split, iemocap.lengths) == "test"
    labels[np.flatnonzero(test & (labels == 0))[0]] = 3
    message = check_table_1(dataclasses.replace(iemocap, labels=labels))
    assert "iemocap.pkl" in message
    assert "test happy 143, not 144" in message
    assert "test angry 171, not 170" in message
    assert "train" not in message


def test_table_1_is_for_the_standard_corpus_alone(iemocap):
    other_split = tuple("train" for _ in iemocap.split)
    assert check_table_1(dataclasses.replace(iemocap, split=other_split)) is None
    assert check_table_1(dataclasses.replace(iemocap, split=None)) is None
    names = ("x", *iemocap.conversation_ids[1:])
    assert check_table_1(dataclasses.replace(iemocap, conversation_ids=names)) is None
    assert check_table_1(corpus()) is None


def test_unknown_protocol():
    with pytest.raises(InputError, match=r"'mmam4'.*'mman4'\?"):
        tasks(corpus(), "mmam4")


@pytest.mark.parametrize("protocol", ["mman4", "binary4", "iemocap4", "iemocap6"])
def test_labels_that_a_protocol_needs(protocol):
    with pytest.raises(InputError, match=rf"{protocol}: no label .*happy.* among no, yes"):
        tasks(corpus(), protocol)


def test_iemocap6_needs_all_six():
    four = corpus(label_names=("happy", "sad", "neutral", "angry"))
    assert len(tasks(four, "mman4")) == 1
    with pytest.raises(InputError, match="no label excited, frustrated among"):
        tasks(four, "iemocap6")


def test_no_labels_at_all():
    with pytest.raises(InputError, match="without labels"):
        tasks(corpus(labels=np.full(6, -1, np.int32), label_names=()), "auto")
