import dataclasses

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS, check_table_1
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.tasks import Classes, tasks
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


FOUR, SIX = EMOTIONS[:4], EMOTIONS


@pytest.mark.parametrize(
    ("protocol", "classes", "labels"),
    [
        ("auto", SHORT, [0, 1, 2, 3, 4, 5, 6, -1]),
        ("mman4", FOUR, [2, 0, 1, 3, 0, 1, -1, -1]),  # excited is happy, frustrated is sad
        ("iemocap4", FOUR, [2, 0, 1, 3, 0, -1, -1, -1]),
        ("iemocap6", SIX, [2, 0, 1, 3, 4, 5, -1, -1]),
    ],
)
def test_the_classes_of_a_protocol(protocol, classes, labels):
    (task,) = tasks(short_named(), protocol)
    assert (task.name, task.classes) == (protocol, classes)
    assert task.labels(short_named()).tolist() == labels
    assert task.labels(short_named()).dtype == np.int32


def test_binary4_scores_neither_excited_nor_frustrated():
    binary = tasks(short_named(), "binary4")
    assert [task.name for task in binary] == ["happy", "sad", "neutral", "angry"]
    assert [task.classes for task in binary][1] == ("not_sad", "sad")
    assert binary[1].labels(short_named()).tolist() == [0, 0, 1, 0, -1, -1, -1, -1]


def test_the_majority_is_that_of_the_true_classes():
    scores = Classes("", ("no", "yes")).scores(np.array([[[3, 1], [2, 4]]]))
    assert scores["majority_accuracy"] == 0.6


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


def test_table_1_is_checked_on_the_standard_corpus_alone(iemocap):
    turned = {"label_names": iemocap.label_names[::-1], "labels": 5 - iemocap.labels}
    other_split = tuple("train" for _ in iemocap.split)
    names = ("x", *iemocap.conversation_ids[1:])
    for changes in ({}, turned, {"split": other_split}, {"split": None},
                    {"conversation_ids": names}):  # fmt: skip
        assert check_table_1(dataclasses.replace(iemocap, **changes)) is None
    assert check_table_1(corpus()) is None
    labels = iemocap.labels.copy()
    test = np.repeat(iemocap.split, iemocap.lengths) == "test"
    labels[np.flatnonzero(test & (labels == 0))[0]] = 3
    message = check_table_1(dataclasses.replace(iemocap, labels=labels))
    for words in ("iemocap.pkl", "test happy 143, not 144", "test angry 171, not 170"):
        assert words in message
    assert "train" not in message


WITHOUT = {"labels": np.full(6, -1, np.int32), "label_names": ()}


@pytest.mark.parametrize(
    ("changes", "protocol", "words"),
    [
        ({}, "mmam4", r"'mmam4'.*'mman4'\?"),
        *(({}, name, rf"{name}: no label .*happy.* among no, yes")
          for name in ("mman4", "binary4", "iemocap4", "iemocap6")),
        ({"label_names": FOUR}, "iemocap6", "no label excited, frustrated among"),
        (WITHOUT, "auto", "without labels"),
    ],
)  # fmt: skip
def test_labels_that_a_protocol_needs(changes, protocol, words):
    with pytest.raises(InputError, match=words):
        tasks(corpus(**changes), protocol)
    assert len(tasks(corpus(label_names=FOUR), "mman4")) == 1
