import numpy as np

from mman_jax.data.readers.table import Table, by_sign, labelled, numbered
from tests.data.small import refuses


def table(**changes):
    fields = {
        "place": "x.pkl",
        "layout": "a layout",
        "conversation_ids": ["b", "a", "b"],
        "utterance_ids": ["b2", "a1", "b1"],
        "order": [10, 1, 9],
        "labels": np.array([0, 1, -1], np.int32),
        "label_names": ("no", "yes"),
        "features": {"speech": np.array([[1.0], [2], [3]], np.float32)},
        "targets": {"valence": np.array([1, np.nan, 3], np.float32)},
        "speakers": ["x", "y", "z"],
    }
    return Table(**(fields | changes))


def corpus(**changes):
    return table(**changes).arrange().to_corpus()


def test_utterances_are_grouped_by_conversation_and_sorted():
    made = corpus()
    assert made.conversation_ids == ("b", "a")
    assert made.utterance_ids == ("b1", "b2", "a1")
    assert made.lengths.tolist() == [2, 1]
    assert made.labels.tolist() == [-1, 0, 1]
    assert made.features["speech"].ravel().tolist() == [3, 1, 2]
    assert made.targets["valence"].tolist()[:2] == [3, 1]
    assert made.speakers == ("z", "x", "y")
    assert made.split is None
    assert made.source_notes[0] == "read as a layout"
    assert "sorted" in made.source_notes[1]
    made = corpus(order=None)
    assert made.utterance_ids == ("b2", "b1", "a1")
    assert len(made.source_notes) == 1


def test_a_conversation_in_two_parts_is_two_conversations():
    made = corpus(split=["train", "train", "test"])
    assert made.conversation_ids == ("b:train", "a", "b:test")
    assert made.split == ("train", "train", "test")
    assert "1 conversations have utterances in several parts" in made.source_notes[1]


def test_missing_modalities_are_reported():
    made = corpus(present={"speech": np.array([True, False, True])})
    assert made.present["speech"].tolist() == [True, True, False]
    assert "speech: 1 utterances without it" in made.source_notes
    assert not corpus(present={"speech": np.ones(3, bool)}).present


def test_an_empty_table_is_refused():
    refuses(lambda: corpus(conversation_ids=[], utterance_ids=[]), "x.pkl: no utterances")


def test_labels():
    labels = labelled(["b", "", "a"])
    assert (labels.classes.tolist(), labels.names) == ([1, -1, 0], ("a", "b"))
    assert labelled(["b"], ("c", "b")).names == ("c", "b")
    assert labelled(["b", "d"], ("c", "b")).names == ("b", "d")
    assert numbered(np.array([2, -1]), "a").names == ("0", "1", "2")
    assert by_sign(np.array([-0.1, 0, 2, np.nan])).tolist() == [0, 1, 2, -1]
