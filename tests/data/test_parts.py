import numpy as np
import pytest

from mman_jax.data.batching import gather
from mman_jax.data.cells import Utterances
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.splits import Split
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError
from mman_jax.tasks import tasks
from mman_jax.types import UNSCORED
from tests.data.small import corpus


def made(labels):
    split = ("train", "valid", "test")
    return prepare(corpus(labels=np.array(labels, np.int32), split=split))


def test_each_part_has_its_own_conversations_classes_and_nothing_beside_them():
    parts = made([0, 1, 1, -1, 1, 0])
    laid = parts.labels(tasks(parts.corpus, "auto")[0])
    assert {part: classes.tolist() for part, classes in laid.items()} == {
        "train": [[0, 1], [-1, -1]],
        "valid": [[1], [-1]],
        "test": [[-1, 1, 0], [-1, -1, -1]],
    }


@pytest.mark.parametrize(("part", "here"), [("train", [0, 1]), ("valid", [2]), ("test", [3, 4, 5])])
def test_a_part_in_which_nothing_is_scored_is_refused(part, here):
    labels = np.array([0, 1, 1, 0, 1, 0])
    labels[here] = -1
    parts = made(labels)
    said = f"^small, {part} part: no utterance of {len(here)} has a class of auto"
    with pytest.raises(InputError, match=said):
        parts.labels(tasks(parts.corpus, "auto")[0])


def of(*parts):
    return Split(*(np.array(part, np.int64) for part in parts), how="by hand")


def test_a_split_that_is_given_is_taken_and_scales_by_its_own_training():
    small = corpus(split=("train", "valid", "test"))
    parts = prepare(small, of([2], [0], [1]))
    assert [parts.layouts[part].conversations.tolist() for part in SPLIT_NAMES] == [[2], [0], [1]]
    speech = parts.rows["train"].features["speech"][:1]
    np.testing.assert_allclose(speech.mean(axis=(0, 1)), 0, atol=1e-6)
    own = small.features["speech"]
    expected = (own[:2] - own[3:].mean(0)) / own[3:].std(0)
    np.testing.assert_allclose(parts.rows["valid"].features["speech"][:][0], expected, rtol=1e-5)


def test_an_empty_test_part_is_the_empty_row_alone():
    some = np.array([True, False, True, True, True, True])
    small = corpus(labels=np.array([0, 1, 1, 0, 1, 0], np.int32), present={"text": some})
    parts = prepare(small, of([0, 1], [2], []))
    test = parts.rows["test"]
    assert test.mask.tolist() == [[False]]
    assert test.present["text"].tolist() == [[False]]
    assert np.asarray(test.features["text"]).tolist() == [[[0, 0, 0]]]
    laid = parts.labels(tasks(small, "auto")[0])
    assert laid["test"].tolist() == [[UNSCORED]]
    assert laid["valid"].tolist() == [[0, 1, 0], [UNSCORED] * 3]
    assert gather(parts.layouts["test"], np.zeros((1, 1, 2))).shape == (0, 2)


def test_all_splits_get_the_shapes_of_the_largest_and_only_padding_more():
    made = corpus(lengths=(2, 5, 1, 3, 3, 4))
    several = [of([0, 1, 2], [3], [4, 5]), of([3, 4, 5], [0, 2], [1]), of([1, 4], [2], [])]
    shapes = common_shapes(made, several, Utterances(made))
    # Training: 5 | 2 1 in two rows, 4 | 3 | 3 in three. Test: 4 | 3 in two rows of five.
    assert shapes == {"train": (3, 5), "valid": (1, 3), "test": (2, 5)}
    task = tasks(made, "auto")[0]
    for split in several:
        alone, padded = prepare(made, split), prepare(made, split, shapes)
        for part, (rows, cells) in shapes.items():
            batch = padded.rows[part]
            assert batch.mask.shape == batch.reset.shape == (rows + 1, cells)
            assert not batch.mask[-1].any()
            labels = [x.labels(task)[part] for x in (alone, padded)]
            assert (labels[1][~batch.mask] == UNSCORED).all()
            # The same utterances with the same values and classes in both.
            for name, x in batch.features.items():
                theirs = gather(alone.layouts[part], np.asarray(alone.rows[part].features[name]))
                ours = gather(padded.layouts[part], np.asarray(x))
                np.testing.assert_array_equal(ours, theirs)
                assert not np.asarray(x)[~batch.mask].any()
            np.testing.assert_array_equal(
                gather(padded.layouts[part], labels[1]), gather(alone.layouts[part], labels[0])
            )
            assert (batch.reset & batch.mask).sum() == len(getattr(split, part))
