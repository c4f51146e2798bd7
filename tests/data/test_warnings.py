import numpy as np
import pytest

from mman_jax.data import scaling, splits, warnings
from mman_jax.tasks import tasks
from tests.data.small import corpus, refuses

SPLIT = ("train", "train", "valid", "test")
LABELS = (0, 1, 0, 1, 1, 0, 0, 1)


def found(labels=LABELS, split=SPLIT, lengths=(2, 2, 2, 2), **changes):
    made = corpus(lengths, labels=np.array(labels, np.int32), split=split, **changes)
    (task,) = tasks(made, "auto")
    parts = splits.split(made)
    return warnings.of_split(made, parts) + task.check_split(made, parts)


def missing(rows):
    present = np.ones(8, bool)
    present[rows] = False
    return {"text": present}


def test_a_usual_split_has_no_warnings():
    assert found() == []
    made = corpus((2, 2, 2, 2), present=missing([0]))
    split = splits.Split(np.array([0, 1, 2]), np.array([3]), np.array([], np.int64), "by hand")
    assert warnings.of_split(made, split) == []  # an empty test part lacks nothing


SPEAKERS = ("a", "a", "b", "b", "a", "b", "c", "c")


@pytest.mark.parametrize(
    ("lengths", "speakers", "said"),
    [
        ((1, 1, 1, 1, 2, 2), SPEAKERS, ["every conversation is one utterance"]),
        ((2, 2, 2, 2), SPEAKERS, ["each of the 2 conversations has one speaker"]),
        ((2, 2, 2, 2), None, []),
        ((1, 3, 2, 2), SPEAKERS, []),
        ((3, 1, 2, 2), ("a", "b", *SPEAKERS[2:]), []),
    ],
)
def test_conversations_that_are_single_utterances_or_speakers_are_told(lengths, speakers, said):
    split = ("train",) * (len(lengths) - 2) + ("valid", "test")
    found_here = found(split=split, lengths=lengths, speakers=speakers)
    assert [sentence.partition(":")[0] for sentence in found_here] == said


def test_training_on_one_class_or_without_a_modality_is_refused():
    words = "small, task auto: every labelled training utterance is yes", "at least two classes"
    refuses(lambda: found((1, 1, 1, -1, 1, 0, 0, 1)), *words)
    refuses(lambda: found(present=missing([0, 1, 2, 3])), "modality text: missing in all training")


def test_classes_that_training_lacks_are_reported():
    assert found((0, 1, 0, 1, 2, 0, 2, 1), label_names=("no", "yes", "maybe")) == [
        "task auto: validation has class maybe, training does not",
        "task auto: test has class maybe, training does not",
    ]


@pytest.mark.parametrize(("first", "name"), [(4, "validation"), (6, "test")])
def test_a_part_of_one_class_or_without_a_modality_is_reported(first, name):
    labels = list(LABELS)
    labels[first : first + 2] = [1, -1]
    expected = f"task auto: every labelled utterance in {name} is yes: its scores say little"
    assert found(labels) == [expected]
    both = found(present=missing([first, first + 1]))
    assert both == [f"modality text is missing in all {name} utterances"]
    assert found(present=missing([first])) == []


def test_a_single_training_conversation_is_reported():
    (notice,) = found(split=("train", "valid", "valid", "test"))
    assert notice == "training has one conversation: the model may not generalise to others"


def columns(values, train=(0, 1)):
    """Warnings about columns of conversations of 2, 2 and 1 utterances."""
    features = {name: np.array(array, np.float32) for name, array in values.items()}
    made = corpus(lengths=(2, 2, 1), features=features)
    return warnings.of_columns(made, scaling.fit(made, train), train)


def summary(*arguments, **more):
    """The warnings without their consequences."""
    return [sentence.rpartition(":")[0] for sentence in columns(*arguments, **more)]


def test_each_kind_of_column_by_hand():
    values = [
        #  fine, constant, rounding, nearly, tiny, huge mean, huge spread
        [1.0, 5.0, 1000.0, 1000.0, 1e-20, 1e15, 1e20],
        [2.0, 5.0, 1000.0, 1000.05, 2e-20, 2e15, -1e20],
        [3.0, 5.0, 1000.0, 1000.0, 3e-20, 3e15, 1e20],
        [9.0, 5.0, 1000.00006, 1000.05, 9e-20, 9e15, -1e20],
        [7.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    assert summary({"a": values}) == [
        "modality a: 2 of 7 feature columns are constant in training (columns 1, 2)",
        "modality a: 2 of 7 feature columns are nearly constant in training (columns 3, 4)",
        "modality a: 2 of 7 feature columns are enormous in training (columns 5, 6)",
    ]


def test_only_training_conversations_count():
    values = {"a": [[1.0], [2.0], [5.0], [5.0], [5.0]]}
    assert summary(values, train=[0]) == []
    expected = "modality a: 1 of 1 feature columns is constant in training (column 0)"
    assert summary(values, train=[1, 2]) == [expected]


def test_a_deviation_of_exactly_one_is_not_constant():
    values = [[1.0, 3.0], [-1.0, 3.0], [1.0, 3.0], [-1.0, 3.0], [0.0, 0.0]]
    expected = "modality a: 1 of 2 feature columns is constant in training (column 1)"
    assert summary({"a": values}) == [expected]


def test_messages_agree_in_number():
    (many,) = columns({"speech": np.zeros((5, 2))})
    assert many == (
        "modality speech: 2 of 2 feature columns are constant in training (columns 0, 1): "
        "they are 0 after scaling"
    )
    (one,) = columns({"text": np.array([[1e15, 1], [2e15, 2], [3e15, 3], [1e15, 4], [0, 0]])})
    assert one == (
        "modality text: 1 of 2 feature columns is enormous in training (column 0): check its units"
    )
