import numpy as np
import pytest

from mman_jax.data import scaling, splits, warnings
from mman_jax.errors import InputError
from mman_jax.tasks import tasks
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
    assert notice == "training has one conversation: the model may not generalise to others"


def test_an_empty_test_part_lacks_nothing():
    made = corpus(lengths=(2, 2, 2, 2), present=missing([0]))
    split = splits.Split(np.array([0, 1, 2]), np.array([3]), np.array([], np.int64), "by hand")
    assert warnings.of_split(made, split) == []


def columns(values, train=(0, 1)):
    """Findings as (modality, kind, columns) of conversations of 2, 2 and 1 utterances."""
    features = {name: np.array(array, np.float32) for name, array in values.items()}
    made = corpus(lengths=(2, 2, 1), features=features)
    fitted = scaling.fit(made, train)
    return warnings.of_columns(made, fitted, train)


def summary(findings):
    return [(f.modality, f.kind, f.columns.tolist(), f.size) for f in findings]


def test_each_kind_of_column_by_hand():
    values = [
        #  fine, constant, rounding, nearly, tiny, huge mean, huge spread
        [1.0, 5.0, 1000.0, 1000.0, 1e-20, 1e15, 1e20],
        [2.0, 5.0, 1000.0, 1000.05, 2e-20, 2e15, -1e20],
        [3.0, 5.0, 1000.0, 1000.0, 3e-20, 3e15, 1e20],
        [9.0, 5.0, 1000.00006, 1000.05, 9e-20, 9e15, -1e20],
        [7.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    assert summary(columns({"a": values})) == [
        ("a", "constant", [1, 2], 7),
        ("a", "nearly constant", [3, 4], 7),
        ("a", "enormous", [5, 6], 7),
    ]


def test_the_training_conversations_alone_decide():
    values = {"a": [[1.0], [2.0], [5.0], [5.0], [5.0]]}
    assert summary(columns(values, train=[0])) == []
    assert summary(columns(values, train=[1, 2])) == [("a", "constant", [0], 1)]


def test_a_deviation_of_exactly_one_is_not_constant():
    values = [[1.0, 3.0], [-1.0, 3.0], [1.0, 3.0], [-1.0, 3.0], [0.0, 0.0]]
    assert summary(columns({"a": values})) == [("a", "constant", [1], 2)]


def test_modalities_are_told_apart_and_usual_ones_say_nothing():
    usual = np.random.default_rng(0).standard_normal((5, 3))
    assert summary(columns({"a": usual, "b": np.zeros((5, 2)), "c": usual})) == [
        ("b", "constant", [0, 1], 2)
    ]


def test_sentences_on_columns():
    (many,) = columns({"speech": np.zeros((5, 2))})
    assert str(many) == (
        "modality speech: 2 of 2 feature columns are constant in training (column 0 first): "
        "they are 0 after scaling"
    )
    (one,) = columns({"text": np.array([[1e15, 1], [2e15, 2], [3e15, 3], [1e15, 4], [0, 0]])})
    assert str(one) == (
        "modality text: 1 of 2 feature columns is enormous in training (column 0): check its units"
    )

    (units,) = columns({"text": np.array([[1e15, 1e15], [2e15, 2e15]] * 2 + [[0, 0]])})
    assert str(units).endswith("enormous in training (column 0 first): check their units")


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e20, 3.4e38])
@pytest.mark.parametrize("spread", [0.0, 1e-7, 1.0])
def test_whatever_is_named_is_scaled_to_finite_bounded_values(size, spread):
    rng = np.random.default_rng(0)
    values = np.clip(size * (1 + spread * rng.uniform(-1, 1, (5, 4))), -3.4e38, 3.4e38)
    made = corpus(lengths=(2, 2, 1), features={"a": values.astype(np.float32)})
    scaled = scaling.fit(made, [0, 1]).apply(made.features)["a"]
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= scaling.LIMIT
