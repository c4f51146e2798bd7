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
