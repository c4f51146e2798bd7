import numpy as np
import pytest

from mman_jax.data import batching, scaling, warnings
from mman_jax.data.batching import gather
from mman_jax.data.cells import Utterances
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.readers import npz
from mman_jax.data.splits import Split
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.tasks import tasks
from mman_jax.types import UNSCORED
from tests.data.small import arrays, corpus, refuses


def labels_of(parts):
    labels = parts.labels(tasks(parts.corpus, "auto")[0])
    return {part: classes.tolist() for part, classes in labels.items()}


def prepared(labels):
    split = ("train", "valid", "test")
    return prepare(corpus(labels=np.array(labels, np.int32), split=split))


def test_each_part_has_the_labels_of_its_conversations():
    assert labels_of(prepared([0, 1, 1, -1, 1, 0])) == {
        "train": [[0, 1], [-1, -1]],
        "valid": [[1], [-1]],
        "test": [[-1, 1, 0], [-1, -1, -1]],
    }


@pytest.mark.parametrize(("part", "here"), [("train", [0, 1]), ("valid", [2]), ("test", [3, 4, 5])])
def test_a_part_without_scored_utterances_is_refused(part, here):
    labels = np.array([0, 1, 1, 0, 1, 0])
    labels[here] = -1
    words = f"small, {part} part: no utterance of {len(here)} has a class of auto"
    refuses(lambda: labels_of(prepared(labels)), words)


@pytest.mark.parametrize("length", [1, 2])
def test_the_state_is_reset_at_every_cell_unless_training_saw_more_than_one(length):
    parts = prepare(corpus(lengths=(1, length, 1, 3), split=("train", "train", "valid", "test")))
    assert parts.context == (length > 1)
    # The last row is padding, which starts with a reset as well.
    resets = [[True, length == 1, length == 1], [True, False, False]]
    assert parts.rows["test"].reset.tolist() == resets


def split_of(*parts):
    return Split(*(np.array(part, np.int64) for part in parts), how="by hand")


def test_a_given_split_is_used_and_scaled_by_its_training_part():
    made = corpus(split=("train", "valid", "test"))
    parts = prepare(made, split_of([2], [0], [1]))
    assert [parts.layouts[part].conversations.tolist() for part in SPLIT_NAMES] == [[2], [0], [1]]
    speech = parts.rows["train"].features["speech"][:1]
    np.testing.assert_allclose(speech.mean(axis=(0, 1)), 0, atol=1e-6)
    own = made.features["speech"]
    expected = (own[:2] - own[3:].mean(0)) / own[3:].std(0)
    np.testing.assert_allclose(parts.rows["valid"].features["speech"][:][0], expected, rtol=1e-5)


def test_an_empty_test_part_is_one_row_of_padding():
    present = {"text": np.array([True, False, True, True, True, True])}
    made = corpus(labels=np.array([0, 1, 1, 0, 1, 0], np.int32), present=present)
    parts = prepare(made, split_of([0, 1], [2], []))
    test = parts.rows["test"]
    assert test.mask.tolist() == [[False]]
    assert test.present["text"].tolist() == [[False]]
    assert np.asarray(test.features["text"]).tolist() == [[[0, 0, 0]]]
    labels = labels_of(parts)
    assert labels["test"] == [[UNSCORED]]
    assert labels["valid"] == [[0, 1, 0], [UNSCORED] * 3]
    assert gather(parts.layouts["test"], np.zeros((1, 1, 2))).shape == (0, 2)


def test_common_shapes_only_add_padding():
    made = corpus(lengths=(2, 5, 1, 3, 3, 4))
    splits = [([0, 1, 2], [3], [4, 5]), ([3, 4, 5], [0, 2], [1]), ([1, 4], [2], [])]
    splits = [split_of(*parts) for parts in splits]
    shapes = common_shapes(made, splits, Utterances(made))
    # Training: 5 | 2 1 in two rows, 4 | 3 | 3 in three. Test: 4 | 3 in two rows of five.
    assert shapes == {"train": (3, 5), "valid": (1, 3), "test": (2, 5)}
    (task,) = tasks(made, "auto")
    for split in splits:
        alone, padded = prepare(made, split), prepare(made, split, shapes)
        for part, (rows, cells) in shapes.items():
            batch = padded.rows[part]
            assert batch.mask.shape == batch.reset.shape == (rows + 1, cells)
            assert not batch.mask[-1].any()
            assert (batch.reset & batch.mask).sum() == len(getattr(split, part))
            one, other = (dict(x.rows[part].features) | {"": x.labels(task)[part]}
                          for x in (alone, padded))  # fmt: skip
            for name in one:
                expected = gather(alone.layouts[part], np.asarray(one[name]))
                actual = np.asarray(other[name])
                np.testing.assert_array_equal(gather(padded.layouts[part], actual), expected)
                assert (actual[~batch.mask] == (0 if name else UNSCORED)).all()


def lacking(**changes):
    """A corpus in which utterances 1 and 4 have no text, but NaN."""
    text = corpus().features["text"].copy()
    text[[1, 4]] = np.nan
    present = {"text": np.array([1, 0, 1, 1, 0, 1], bool)}
    changes = {"features": corpus().features | {"text": text}, "present": present} | changes
    return corpus(**changes)


def test_missing_modalities_are_stored_and_selected(tmp_path):
    npz.write(lacking(), tmp_path / "c.npz")
    read = npz.read(tmp_path / "c.npz")
    assert read.present["text"].tolist() == [True, False, True, True, False, True]
    np.testing.assert_array_equal(read.features["text"], lacking().features["text"])
    np.savez(tmp_path / "d.npz", **arrays(**{"present/text": np.ones(6, np.int8)}))
    refuses(lambda: npz.read(tmp_path / "d.npz"), "present/text: int8", "bool")
    assert list(lacking().select_modalities(["text"]).present) == ["text"]
    assert lacking().select_modalities(["speech"]).present == {}
    present = {"text": np.array([1, 0, 1, 1, 1, 1], bool)}
    refuses(lambda: lacking(present=present), "conversation c2, utterance u1, modality text")


def test_statistics_are_those_of_present_utterances():
    made = lacking()
    fitted = scaling.fit(made, [0, 1, 2])
    text = made.features["text"][made.present["text"]]
    np.testing.assert_allclose(fitted.mean["text"], text.mean(0), rtol=1e-6)
    np.testing.assert_allclose(fitted.scale["text"], 1 / text.std(0), rtol=1e-6)
    complete = scaling.fit(corpus(), [0, 1, 2])
    np.testing.assert_array_equal(fitted.mean["speech"], complete.mean["speech"])
    made = lacking(present={"text": np.array([0, 0, 0, 1, 0, 1], bool)})
    fitted = scaling.fit(made, [0, 1])  # training has no text at all
    assert not fitted.mean["text"].any()
    assert (fitted.scale["text"] == 1).all()
    assert warnings.of_columns(made, fitted, [0, 1])


@pytest.mark.parametrize("scaled", [False, True])
def test_missing_features_are_zero_in_rows(scaled):
    made = lacking()
    layout = batching.pack(made.lengths, [0, 1, 2])
    fitted = scaling.fit(made, [0, 1, 2]) if scaled else None
    batch = batching.rows(made, layout, fitted)
    text, present = np.asarray(batch.features["text"]), batch.present["text"]
    assert present.tolist() == [[True, False, True], [True, False, True], [False] * 3]
    assert np.isfinite(text).all()
    assert not text[~present].any()
    assert "speech" not in batch.present
