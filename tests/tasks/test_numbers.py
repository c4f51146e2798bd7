import numpy as np
import pytest

from mman_jax.data.folds import Fold
from mman_jax.data.parts import prepare
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.tasks import check_folds, numbers
from tests.data.small import corpus

RATED = np.array([-2.6, 0.5, np.nan, 1.5, 0.0, 3.0], np.float32)
SPLIT = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")


def rated(values=RATED, **others):
    return corpus(targets={"sentiment": np.array(values, np.float32)} | others)


@pytest.mark.parametrize(
    ("names", "protocol", "classes", "words"),
    [
        (["sentimen"], "auto", 0, "unknown 'sentimen'"),
        (["sentiment", "sentiment"], "auto", 0, "twice"),
        (["sentiment"], "iemocap6", 0, "maps labels"),
        (["nothing"], "auto", 0, "NaN for every utterance"),
        (["sentiment"], "auto", 4, "2, 3, 5, 7, or 0"),
        (["stars"], "auto", 5, "values from 1 to 5"),
        (["sentiment", "stars"], "auto", 3, "one target"),
    ],
)
def test_refusals(names, protocol, classes, words):
    stars = np.array([1, 2, 3, 4, 5, 1], np.float32)
    made = rated(nothing=np.full(6, np.nan, np.float32), stars=stars)
    with pytest.raises(InputError, match=words):
        numbers.task(made, names, protocol, classes)
    with pytest.raises(InputError, match="unknown 'stars'; expected targets in the corpus"):
        numbers.task(corpus(), ["stars"], "auto")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.1, 0.1, 5, 1, 2, 3], "0.1 for every training utterance"),
        ([np.nan, np.nan, 5, 1, 2, 3], "no training utterance has"),
    ],
)
def test_a_target_without_news_in_training_is_refused(values, words):
    made = rated(values)
    task = numbers.task(made, ["sentiment"], "auto")
    with pytest.raises(InputError, match=words):
        task.check_split(made, SPLIT)
    with pytest.raises(InputError, match="fold one"):
        check_folds(made, [Fold("one", SPLIT)], [task])


def test_classes_of_a_target():
    def told(classes):
        task = numbers.task(rated(), ["sentiment"], "auto", classes)
        return [task.classes[c] if c >= 0 else "" for c in task.labels(rated())]

    assert told(7) == ["-3", "0", "", "2", "0", "3"]
    assert told(5) == ["-2", "0", "", "2", "0", "2"]
    assert told(3) == ["negative", "positive", "", "positive", "neutral", "positive"]
    assert told(2) == ["negative", "positive", "", "positive", "", "positive"]


def test_targets_lie_where_their_utterances_lie():
    made = rated(stars=np.arange(6, dtype=np.float32))
    task = numbers.task(made, ["stars", "sentiment"], "auto")
    labels = prepare(made, SPLIT).labels(task)
    np.testing.assert_array_equal(labels["train"][0], [[0, RATED[0]], [1, RATED[1]]])
    np.testing.assert_array_equal(labels["valid"][0], [[2, np.nan]])
    assert np.isnan(labels["test"][-1]).all()  # the empty row
    assert labels["test"].dtype == np.float32
