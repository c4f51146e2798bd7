import numpy as np
import pytest

from mman_jax.data.readers.items import parse_name
from mman_jax.data.readers.table import Labels, Row, Table, by_sign, labelled, numbered
from tests.data.small import refuses

PARTS = ("train", "train", "test")


def table(rows=(), **changes):
    fields = {
        "place": "x.pkl",
        "layout": "a layout",
        "rows": rows,
        "notes": [],
        "labels": Labels(
            np.array([0, 1, -1], np.int32), ("no", "yes"), {"valence": np.float32([1, np.nan, 3])}
        ),
        "features": {"speech": np.array([[1.0], [2], [3]], np.float32)},
    }
    return Table(**(fields | changes))


ROWS = (
    Row("b", "b2", 10, speaker="x"), Row("a", "a1", 1, speaker="y"), Row("b", "b1", 9, speaker="z"),
)  # fmt: skip


def corpus(rows=ROWS, **changes):
    return table(rows, **changes).arrange().to_corpus()


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
    made = corpus([row._replace(order=None) for row in ROWS])
    assert made.utterance_ids == ("b2", "b1", "a1")
    assert len(made.source_notes) == 1


def test_a_conversation_in_two_parts_is_two_conversations():
    made = corpus([row._replace(split=x) for row, x in zip(ROWS, PARTS, strict=True)])
    assert made.conversation_ids == ("b:train", "a", "b:test")
    assert made.split == ("train", "train", "test")
    assert "1 conversations have utterances in several parts" in made.source_notes[1]


def test_missing_modalities_are_reported():
    made = corpus(present={"speech": np.array([True, False, True])})
    assert made.present["speech"].tolist() == [True, True, False]
    assert "speech: 1 utterances without it" in made.source_notes
    assert not corpus(present={"speech": np.ones(3, bool)}).present


def test_an_empty_table_is_refused():
    refuses(lambda: corpus(()), "x.pkl: no utterances")


def test_labels():
    labels = labelled(["b", "", "a"])
    assert (labels.classes.tolist(), labels.names) == ([1, -1, 0], ("a", "b"))
    assert labelled(["b"], ("c", "b")).names == ("c", "b")
    assert labelled(["b", "d"], ("c", "b")).names == ("b", "d")
    assert numbered(np.array([2, -1]), "a").names == ("0", "1", "2")
    assert by_sign(np.array([-0.1, 0, 2, np.nan])).tolist() == [0, 1, 2, -1]


NAMES = {
    "Ses01F_impro01_F000": ("Ses01F_impro01", None, "Ses01_F", "Ses01"),
    "Ses05M_script01_1b_M012": ("Ses05M_script01_1b", None, "Ses05_M", "Ses05"),
    "dia3_utt12": ("0003", 12, None, None),
    "val_dia0_utt1": ("1039", 1, None, None),
    "test_dia279_utt0": ("1432", 0, None, None),
    "_a-b$_$10": ("_a-b", 10, None, None),
    "03b_S[7]": ("03b_S", 7, None, None),
    "c_d_2": ("c_d", 2, None, None),
    **dict.fromkeys(("", "video", "a[x]", "a$_$b", "_1", "a_", "a_9999999999", "sample_00000001")),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_known_corpora_are_parsed(name):
    assert parse_name(name) == NAMES[name]


def test_the_part_of_a_dialogue_and_numbers_may_be_given():
    assert parse_name("dia2_utt0", "test").conversation == "1155"
    assert parse_name("train_dia2_utt0", "test").conversation == "0002"
    assert parse_name("0001_000351", numbered=False) is None
    assert parse_name("va[3]", numbered=False) == ("va", 3, None, None)
