"""The paper's tables, with cells computed by hand."""

import pytest

from mman_jax.report import published, tables
from mman_jax.report.document import Cell, Table
from mman_jax.report.phrases import count
from mman_jax.tasks.score import MINUS, NONE
from tests.report import fake


def row(table, name):
    """The cells after a name, as text."""
    (cells,) = [cells for cells in table.plain if cells[0] == name]
    return [*cells[1:]]


def test_corpus_next_to_the_paper_s_counts():
    results = fake.make(iemocap=True)
    table = tables.corpus(results)
    # Happy and excited together are 504 + 742 and 144 + 299 in Table 1 of the paper.
    assert row(table, "happy") == ["1146", "100", "1246", "1246", "443", "443"]
    assert row(table, "sad") == ["2207", "100", "2307", "2307", "626", "626"]
    assert row(table, "all utterances") == ["5410", "400", "5810", "5810", "1623", "1623"]
    assert row(table, "all conversations") == ["96", "24", "120", NONE, "31", NONE]
    six = fake.make(fake.EMOTIONS[:6], iemocap=True) | {"protocol": "iemocap6"}
    assert row(tables.corpus(six), "excited")[3::2] == ["742", "299"]
    results["corpus"]["parts"]["test"]["classes"]["angry"] = 171
    (equal,), (different,) = table.notes, tables.corpus(results).notes
    assert equal != different
    assert different.endswith("angry.")


def test_other_corpora_have_no_counts_of_the_paper():
    table = tables.corpus(fake.make(("negative", "positive")))
    assert table.head == ("class", "training", "validation", "test")
    assert row(table, "negative") == ["700", "100", "150"]
    assert row(table, "without a scored label") == ["7", "7", "7"]
    assert row(table, "all utterances") == ["1407", "207", "307"]


def test_protocols_name_the_scores():
    table = tables.systems(fake.make() | {"protocol": "iemocap4"})[0]
    plain = tables.systems(fake.make())[0]
    assert [table.head[i] for i in (3, 5, 6, 8)] == ["WA", "UA", "weighted F1", "validation WA"]
    names = ["accuracy", "unweighted recall", "validation accuracy"]
    assert [plain.head[i] for i in (3, 5, 8)] == names
    assert table.rows == plain.rows
    assert "UA" in table.notes[-1]
    assert "UA" not in "".join(plain.notes)


def test_systems():
    table = tables.systems(fake.make())[0]
    assert row(table, "cLSTM-Speech") == [
        "1 000 000", "68", "50.0 ± 0.5", "47.9 to 52.1", "48.0 ± 0.5", "49.0 ± 0.5", "51.0",
        "53.0 ± 0.5", "3.2", "57.12", "1.27",
    ]  # fmt: skip
    # The paper's Table 2 lacks two of the systems.
    expected = dict.fromkeys(("cLSTM-Visual", "cLSTM-Text"), NONE)
    expected |= {"cLSTM-EF": "69.75", "cLSTM-LF": "71.78", "cLSTM-MMA": "71.66", "MMAN": "73.94"}
    assert {name: row(table, name)[-2] for name in expected} == expected
    assert row(table, "majority answer")[2] == "38.5"
    assert table.head[10] == "the paper's, on IEMOCAP"
    strong = [cells[0] for cells in table.rows for cell in cells if isinstance(cell, Cell)]
    assert strong == ["MMAN"]
    synthetic = tables.systems(fake.make(synthetic=True))[0]
    assert row(synthetic, "best possible")[2] == "89.1"
    assert row(synthetic, "best possible of late fusion")[2] == "76.5"


def test_claims():
    cells = tables.claims(fake.make()).rows[1]
    assert cells[1] == Cell("undecided", "undecided")
    assert cells[2:6] == ("MMAN over cLSTM-LF", "+2.16", f"{MINUS}0.04 to +4.36", "0.054")


def test_tasks_with_the_accuracy_of_the_answer_no():
    table = tables.tasks(fake.make(iemocap=True))
    cells = ("happy", "MMAN", "943", "92.1 ± 0.5", "84.7", "70.3 ± 0.5", "92.68", "84.73")
    assert table.rows[1] == cells
    assert [cells[-2:] for cells in table.rows[::2]] == [
        ("92.15", "84.73"), ("82.93", "74.02"), ("76.99", "59.28"), ("93.32", "81.97"),
    ]  # fmt: skip


def test_cited_figures_state_what_they_measured():
    table = published.cited(fake.make())
    assert row(table, "MMAN, the paper's")[0] == "73.94"
    source = "12 utterances of data/corpus.npz, protocol auto"
    assert row(table, "MMAN, here") == ["62.0 ± 0.5", source]
    assert "motion capture" in row(table, "Tripathi and Beigi 2018")[1]
    assert published.cited_tasks().notes


def test_cited_systems_next_to_the_paper_s():
    results = fake.make()
    assert published.together(results) == ()
    mman = results["systems"]["mman"]
    cited = mman | {"group": "cited", "seconds": 70.4}
    sees = {"cells": "words", "context": False, "future": False}
    results["systems"]["mult"] = cited | {"title": "MulT", "answering": 0.0125, "sees": sees}
    sees = {"cells": "utterances", "context": True, "future": True}
    results["systems"]["bc_lstm"] = cited | {"title": "bc-LSTM", "answering": 2.1e-4, "sees": sees}
    pair = {"first": "mman", "second": "mult", "difference": 0.031, "p_bootstrap": 0.02}
    results["comparisons"].append(pair)
    table, about = published.together(results)
    assert len(table.rows) == len(about.rows) == 9
    size, accuracy = count(mman["parameters"]["total"]), "62.0 ± 0.5"
    binary = "90.7, 86.7, 72.4, 87.4 (IEMOCAP, happy, sad, neutral and angry against the rest)"
    epoch = "lowest validation loss"
    assert row(about, "MulT") == ["2019", "words", size, accuracy, binary, epoch]
    cells = row(table, "MulT")
    assert cells[0] == "2"
    assert cells[-4:] == ["+3.10", "0.020", "70", "12.5"]
    cells = row(about, "bc-LSTM")
    assert cells[:2] == ["2017", "utterances, earlier turns, later turns"]
    assert cells[-2] == "71.59 (IEMOCAP, accuracy)"
    assert row(table, "bc-LSTM")[-4:] == [NONE, NONE, "70", "0.210"]
    assert row(table, "cLSTM-MMA")[-4:-2] == [NONE, NONE]  # it is compared with another system
    # Of a version that did not store what it sees.
    assert row(about, "cLSTM-LF")[:2] == ["2020", NONE]
    assert row(table, "cLSTM-LF")[-4:-2] == ["+2.16", "< 0.001"]
    assert row(published.cited(results), "bc-LSTM, here")[0] == "62.0 ± 0.5"


def test_confusion_counts_of_the_paper_s_figure_3():
    table = tables.confusion_counts(fake.make(iemocap=True, seeds=1))
    speech = [cells for cells in table.rows if cells[0] == "cLSTM-Speech"]
    assert speech[0] == ("cLSTM-Speech", "happy", "266", "163", "14", "0", "443", "60.05")
    assert [cells[-1] for cells in speech] == ["60.05", "93.45", "2.86", "38.24"]
    attention = [cells[-1] for cells in table.rows if cells[0] == "cLSTM-MMA"]
    assert attention == ["80.36", "75.88", "54.43", "64.71"]
    notes = " ".join(table.notes)
    assert "927 of 1623 right, 57.12 %" in notes
    assert "1150 of 1623 right, 70.86 %" in notes


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="1 cells under 2 names"):
        Table("name", "caption", ("one", "two"), (("cell",),))
