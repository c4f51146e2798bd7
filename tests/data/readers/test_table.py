import numpy as np
import pytest

from mman_jax.data.readers.table import Table, by_sign, labelled, numbered
from mman_jax.errors import InputError


def made(**changes):
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


def test_conversations_come_together_and_utterances_in_order():
    corpus = made().arrange().to_corpus()
    assert corpus.conversation_ids == ("b", "a")
    assert corpus.utterance_ids == ("b1", "b2", "a1")
    assert corpus.lengths.tolist() == [2, 1]
    assert corpus.labels.tolist() == [-1, 0, 1]
    assert corpus.features["speech"].ravel().tolist() == [3, 1, 2]
    assert corpus.targets["valence"].tolist()[:2] == [3, 1]
    assert corpus.speakers == ("z", "x", "y")
    assert corpus.split is None
    assert corpus.source_notes[0] == "read as a layout"
    assert "sorted" in corpus.source_notes[1]


def test_in_order_already_nothing_is_said():
    corpus = made(order=None).arrange().to_corpus()
    assert corpus.utterance_ids == ("b2", "b1", "a1")
    assert len(corpus.source_notes) == 1


def test_a_conversation_in_two_parts_is_two():
    corpus = made(split=["train", "train", "test"]).arrange().to_corpus()
    assert corpus.conversation_ids == ("b:train", "a", "b:test")
    assert corpus.split == ("train", "train", "test")
    assert "1 conversations have utterances in several parts" in corpus.source_notes[1]


def test_a_modality_that_some_lack_is_told():
    present = {"speech": np.array([True, False, True])}
    corpus = made(present=present).arrange().to_corpus()
    assert corpus.present["speech"].tolist() == [True, True, False]
    assert "speech: 1 utterances without it" in corpus.source_notes
    whole = made(present={"speech": np.ones(3, bool)}).arrange().to_corpus()
    assert not whole.present


def test_nothing_is_no_corpus():
    with pytest.raises(InputError, match=r"x\.pkl: no utterances"):
        made(conversation_ids=[], utterance_ids=[]).arrange()


def test_labels():
    labels = labelled(["b", "", "a"])
    assert (labels.classes.tolist(), labels.names) == ([1, -1, 0], ("a", "b"))
    assert labelled(["b"], ("c", "b")).names == ("c", "b")
    assert labelled(["b", "d"], ("c", "b")).names == ("b", "d")
    assert numbered(np.array([2, -1]), "a").names == ("0", "1", "2")
    assert by_sign(np.array([-0.1, 0, 2, np.nan])).tolist() == [0, 1, 2, -1]
