import numpy as np
import pytest

from mman_jax.data import splits, warnings
from mman_jax.data.protocols import tasks
from mman_jax.errors import InputError
from tests.data.small import corpus

SPLIT = ("train", "train", "valid", "test")


def found(labels=(0, 1, 0, 1, 1, 0, 0, 1), split=SPLIT, lengths=(2, 2, 2, 2), **changes):
    made = corpus(lengths=lengths, labels=np.array(labels, np.int32), split=split, **changes)
    cut = splits.split(made)
    (task,) = tasks(made, "auto")
    return warnings.of_split(made, cut) + task.check_split(made, cut)


def missing(rows):
    present = np.ones(8, bool)
    present[rows] = False
    return {"text": present}


def test_nothing_to_say():
    assert found() == []


def test_training_on_one_class_is_refused():
    with pytest.raises(InputError) as error:
        found((1, 1, 1, -1, 1, 0, 0, 1))
    assert str(error.value) == (
        "small, task auto: every labelled training utterance is yes; "
        "expected at least two classes to tell apart"
    )


def test_a_class_that_training_lacks_is_told():
    names = ("no", "yes", "maybe")
    assert found((0, 1, 0, 1, 2, 0, 2, 1), label_names=names) == [
        "task auto: validation has class maybe, training does not",
        "task auto: test has class maybe, training does not",
    ]


@pytest.mark.parametrize(("part", "name"), [(4, "validation"), (6, "test")])
def test_a_part_of_one_class_is_told(part, name):
    labels = [0, 1, 0, 1, 1, 0, 0, 1]
    labels[part : part + 2] = [1, -1]
    expected = f"task auto: every labelled utterance in {name} is yes: its scores say little"
    assert found(labels) == [expected]


def test_a_modality_that_training_lacks_is_refused():
    with pytest.raises(InputError, match="modality text: missing in all training utterances"):
        found(present=missing([0, 1, 2, 3]))


@pytest.mark.parametrize(("rows", "name"), [([4, 5], "validation"), ([6, 7], "test")])
def test_a_modality_that_another_part_lacks_is_told(rows, name):
    assert found(present=missing(rows)) == [f"modality text is missing in all {name} utterances"]
    assert found(present=missing(rows[:1])) == []


def test_a_single_training_conversation_is_told():
    (notice,) = found(split=("train", "valid", "valid", "test"))
    assert notice == "training is one conversation: what is learnt may be true of it alone"


def test_an_empty_test_part_lacks_nothing():
    made = corpus(lengths=(2, 2, 2, 2), present=missing([0]))
    split = splits.Split(np.array([0, 1, 2]), np.array([3]), np.array([], np.int64), "by hand")
    assert warnings.of_split(made, split) == []
