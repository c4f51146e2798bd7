import json
import pathlib

import pytest

from mman_jax.tasks.score import NONE
from tests.report import page_tables

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("corpus", ["mosi", "mosi_text", "synthetic"])
def test_the_tables_of_the_page_are_what_the_results_say(corpus):
    path = ROOT / "experiments/results" / corpus / "results.json"
    results, page = json.loads(path.read_text()), (ROOT / "docs/results.md").read_text()
    assert page_tables.overview(results) in page, (
        f"copy the table of {path} anew: python -m experiments.paper --report_only"
    )
    for line in page_tables.claims(results).splitlines()[2:]:
        claim, verdict, difference, interval, _ = (cell.strip() for cell in line[1:-1].split("|"))
        assert f"- {claim}: {verdict}, {difference} ({interval})\n" in page


@pytest.mark.parametrize(("column", "corpus"), [(1, "mosi"), (2, "synthetic"), (3, "mosi_text")])
def test_the_readme_s_scores_are_those_of_the_results(column, corpus):
    results = json.loads((ROOT / "experiments/results" / corpus / "results.json").read_text())
    accuracy = 2
    expected = {}
    for line in page_tables.overview(results).splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        expected[cells[0]] = cells[accuracy]
    section = (ROOT / "README.md").read_text().partition("## Results")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found = {row[0]: row[column] for row in rows}
    assert len(found) == 8
    # The sentence vectors have no pictures beside them.
    assert found == {system: expected.get(system, NONE) for system in found}


def test_rows_by_hand():
    score = {"mean": 0.5, "std": 0.0123, "per_seed": [0.5]}
    part = {"accuracy": score, "unweighted_recall": score, "weighted_f1": score}
    whole = {
        "title": "MMAN",
        "group": "paper",
        "about": "all of it",
        "parameters": {"total": 4392184},
        "test": part,
        "validation": part,
        "test_oracle": {"accuracy": score},
        "ensemble": {"test": {"accuracy": {"mean": 0.6}}},
    }
    less = whole | {"title": "no x", "group": "ablation", "about": "without x"}
    results = {"systems": {"no_x": less, "mman": whole}, "majority_accuracy": 0.62}
    results["protocol"] = "auto"
    lines = page_tables.overview(results).splitlines()
    cells = " | ".join([*["50.0 ± 1.2"] * 3, "60.0", *["50.0 ± 1.2"] * 2])
    assert lines[2] == f"| MMAN | 4 392 184 | {cells} |"
    assert lines[3] == "| majority answer | | 62.0 | | | | | |"
    assert lines[4] == f"| *no x: without x* | 4 392 184 | {cells} |"
    assert "| test accuracy | unweighted recall | weighted F1 |" in lines[0]
    head, *rows = page_tables.overview(results | {"protocol": "iemocap4"}).splitlines()
    assert "| test WA | UA | weighted F1 |" in head
    assert rows == lines[1:]


def test_claims_by_hand():
    claim = {"claim": "x", "verdict": "no", "difference": -0.0123, "interval": [-0.02, -0.001]}
    lines = page_tables.claims(
        {"claims": [claim | {"p": 0.04}, claim | {"p": 0.0002}]}
    ).splitlines()
    assert lines[2] == "| x | no | -1.2 | -2.0 to -0.1 | 0.040 |"
    assert lines[3].endswith("| < 0.001 |")
