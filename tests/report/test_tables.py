"""The paper's tables: cells worked out by hand."""

import pytest

from mman_jax.report import published, tables
from mman_jax.report.document import Cell, Table
from mman_jax.report.phrases import count
from tests.report import fake

NONE = "\N{EN DASH}"


def row(table, name):
    """The cells of the row that starts with a name, as text."""
    (found,) = [cells for cells in table.rows if cells[0] == name]
    return [getattr(cell, "text", cell) for cell in found]


def test_corpus_counts_beside_the_paper_s():
    table = tables.corpus(fake.make(iemocap=True))
    # Happy and excited together, 504 + 742 and 144 + 299, of Table 1 of the paper.
    assert row(table, "happy") == ["happy", "1146", "100", "1246", "1246", "443", "443"]
    assert row(table, "sad") == ["sad", "2207", "100", "2307", "2307", "626", "626"]
    assert row(table, "all utterances")[1:] == ["5410", "400", "5810", "5810", "1623", "1623"]
    assert row(table, "all conversations")[1:] == ["96", "24", "120", NONE, "31", NONE]
    assert table.notes == ("The counts are those of the paper's Table 1.",)


def test_another_corpus_of_the_same_labels_is_told_apart():
    results = fake.make(iemocap=True)
    results["corpus"]["parts"]["test"]["classes"]["angry"] = 171
    assert tables.corpus(results).notes == ("Differs from the paper's Table 1: angry.",)


def test_six_labels_are_counted_one_by_one():
    results = fake.make(fake.EMOTIONS[:6], iemocap=True) | {"protocol": "iemocap6"}
    assert row(tables.corpus(results), "excited")[4::2] == ["742", "299"]


def test_other_corpora_have_no_counts_of_the_paper_beside():
    table = tables.corpus(fake.make(("negative", "positive")))
    assert table.head == ("class", "training", "validation", "test")
    assert row(table, "negative") == ["negative", "700", "100", "150"]
    assert row(table, "without a scored label") == ["without a scored label", "7", "7", "7"]
    assert row(table, "all utterances")[1:] == ["1407", "207", "307"]


def test_the_field_s_names_of_scores_head_the_table_of_systems():
    table = tables.systems(fake.make() | {"protocol": "iemocap4"})[0]
    plain = tables.systems(fake.make())[0]
    assert [table.head[i] for i in (3, 5, 6, 8)] == ["WA", "UA", "weighted F1", "validation WA"]
    assert [plain.head[i] for i in (3, 5, 8)] == [
        "accuracy", "unweighted recall", "validation accuracy"
    ]  # fmt: skip
    assert table.rows == plain.rows
    assert "UA, unweighted accuracy" in table.notes[-1]
    assert "UA" not in "".join(plain.notes)


def test_systems():
    table = tables.systems(fake.make())[0]
    assert row(table, "cLSTM-Speech") == [
        "cLSTM-Speech", "1 000 000", "68", "50.0 ± 0.5", "47.9 to 52.1", "48.0 ± 0.5",
        "49.0 ± 0.5", "51.0", "53.0 ± 0.5", "3.2", "57.12", "1.27",
    ]  # fmt: skip
    # The paper's Table 2 has neither of these.
    assert row(table, "cLSTM-Visual")[-2:] == [NONE, NONE]
    assert row(table, "cLSTM-Text")[-2:] == [NONE, NONE]
    theirs = [row(table, name)[-2] for name in ("cLSTM-EF", "cLSTM-LF", "cLSTM-MMA", "MMAN")]
    assert theirs == ["69.75", "71.78", "71.66", "73.94"]
    assert row(table, "majority answer")[3] == "38.5"
    assert table.head[10] == "the paper's, on IEMOCAP"
    strong = [cells[0] for cells in table.rows for cell in cells if isinstance(cell, Cell)]
    assert strong == ["MMAN"]


def test_systems_of_the_synthetic_corpus_stand_below_what_is_possible():
    table = tables.systems(fake.make(synthetic=True))[0]
    assert row(table, "best possible")[3] == "89.1"
    assert row(table, "best possible of late fusion")[3] == "76.5"


def test_claims():
    table = tables.claims(fake.make())
    assert table.rows[1][1] == Cell("undecided", "undecided")
    assert table.rows[1][2:] == (
        "MMAN over cLSTM-LF", "+2.16", "\N{MINUS SIGN}0.04 to +4.36", "0.054",
        "All seeds, all utterances.",
    )  # fmt: skip


def test_tasks_have_the_answer_no_beside_them():
    table = tables.tasks(fake.make(iemocap=True))
    assert table.rows[1] == (
        "happy", "MMAN", "943", "92.1 ± 0.5", "84.7", "70.3 ± 0.5", "92.68", "84.73",
    )  # fmt: skip
    assert [cells[-2:] for cells in table.rows[::2]] == [
        ("92.15", "84.73"), ("82.93", "74.02"), ("76.99", "59.28"), ("93.32", "81.97"),
    ]  # fmt: skip


def test_cited_figures_say_what_they_measured():
    table = published.cited(fake.make())
    assert row(table, "MMAN, the paper's")[1] == "73.94"
    assert row(table, "MMAN, here")[1:] == [
        "62.0 ± 0.5",
        "12 utterances of data/corpus.npz, protocol auto",
    ]
    assert "motion capture" in row(table, "Tripathi and Beigi 2018")[2]
    assert "another split and other features" in published.cited_tasks().notes[0]


def test_cited_systems_stand_beside_the_paper_s():
    results = fake.make()
    assert published.together(results) is None  # a study of the paper's systems alone
    own = results["systems"]["mman"]
    more = {"group": "cited", "answering": 0.0125, "seconds": 70.4}
    results["systems"] |= {
        "mult": own | more | {
            "title": "MulT", "sees": {"cells": "words", "context": False, "future": False},
        },
        "bc_lstm": own | more | {
            "title": "bc-LSTM", "answering": 0.00021,
            "sees": {"cells": "utterances", "context": True, "future": True},
        },
    }  # fmt: skip
    results["comparisons"] += [
        {"first": "mman", "second": "mult", "difference": 0.031, "p_bootstrap": 0.02}
    ]
    table = published.together(results)
    assert len(table.rows) == 9
    found = row(table, "MulT")
    assert found[1:5] == ["words", "none", count(own["parameters"]["total"]), "2"]
    assert found[-5:] == ["+3.10", "0.020", "70", "12.5", NONE]
    found = row(table, "bc-LSTM")
    assert found[1:3] == ["utterances", "before and after it"]
    assert found[-5:] == [NONE, NONE, "70", "0.210", "71.59"]
    # MMAN over cLSTM-LF as it was compared; and what was measured by an earlier version.
    assert row(table, "cLSTM-LF")[-5:-3] == ["+2.16", "< 0.001"]
    assert row(table, "cLSTM-LF")[1:3] == [NONE, NONE]
    assert row(published.cited(results), "bc-LSTM, here")[1] == "62.0 ± 0.5"


def test_the_paper_s_figure_3_counted():
    table = tables.confusion_counts(fake.make(iemocap=True, seeds=1))
    speech = [cells for cells in table.rows if cells[0] == "cLSTM-Speech"]
    assert speech[0] == ("cLSTM-Speech", "happy", "266", "163", "14", "0", "443", "60.05")
    assert [cells[-1] for cells in speech] == ["60.05", "93.45", "2.86", "38.24"]
    attention = [cells[-1] for cells in table.rows if cells[0] == "cLSTM-MMA"]
    assert attention == ["80.36", "75.88", "54.43", "64.71"]
    assert "cLSTM-Speech: 927 of 1623 right, 57.12 %." in table.notes
    assert "cLSTM-MMA: 1150 of 1623 right, 70.86 %." in table.notes


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="1 cells under 2 names"):
        Table("name", "caption", ("one", "two"), (("cell",),))
