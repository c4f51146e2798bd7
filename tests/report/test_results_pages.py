"""README.md and docs/results.md show the committed results."""

import json
import pathlib

import pytest

from mman_jax.tasks import from_results
from mman_jax.tasks.score import NONE, percent

ROOT = pathlib.Path(__file__).resolve().parents[2]


def read(corpus):
    return json.loads((ROOT / "experiments/results" / corpus / "results.json").read_text())


def line(system):
    """The row of a system in the table of docs/results.md."""
    scores = [system["test"][name] for name in ("accuracy", "unweighted_recall", "weighted_f1")]
    scores += [system["validation"]["accuracy"], system["test_oracle"]["accuracy"]]
    cells = [f"{percent(score['mean'])} ± {percent(score['std'])}" for score in scores]
    ensemble = system.get("ensemble")
    cells.insert(3, percent(ensemble["test"]["accuracy"]["mean"]) if ensemble else "")
    name = system["title"]
    if system["group"] == "ablation":
        name = f"*{name}: {system['about']}*"
    total = f"{system['parameters']['total']:,}".replace(",", " ")
    return f"| {name} | {total} | {' | '.join(cells)} |"


def overview(results):
    """The table of systems: the paper's, the majority answer, then ablations."""
    names = from_results(results).score_names()
    scores = f"test {names['accuracy']} | {names['unweighted_recall']} | {names['weighted_f1']}"
    lines = [f"| system | parameters | {scores} | ensemble | validation | if selected on test |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    systems = results["systems"].values()
    lines += [line(system) for system in systems if system["group"] == "paper"]
    lines.append(f"| majority answer | | {percent(results['majority_accuracy'])} | | | | | |")
    lines += [line(system) for system in systems if system["group"] == "ablation"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("corpus", ["mosi", "mosi_text", "synthetic"])
def test_the_page_has_the_scores_and_claims(corpus):
    results, page = read(corpus), (ROOT / "docs/results.md").read_text()
    assert overview(results) in page, (
        "copy the table from python -m experiments.paper --report_only"
    )
    for claim in results["claims"]:
        low, high = (f"{100 * x:+.1f}" for x in claim["interval"])
        difference = f"{100 * claim['difference']:+.1f}"
        verdict = f"{claim['verdict']}, {difference} ({low} to {high})"
        assert f"- {claim['claim']}: {verdict}\n" in page


@pytest.mark.parametrize(("column", "corpus"), [(1, "mosi"), (2, "synthetic"), (3, "mosi_text")])
def test_the_readme_has_the_accuracies(column, corpus):
    section = (ROOT / "README.md").read_text().partition("## Results")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    shown = {row[0]: row[column] for row in rows}
    results = read(corpus)
    expected = {s["title"]: s["test"]["accuracy"] for s in results["systems"].values()}
    expected = {
        title: f"{percent(s['mean'])} ± {percent(s['std'])}" for title, s in expected.items()
    }
    expected["majority answer"] = percent(results["majority_accuracy"])
    assert len(shown) == 8
    # There are no pictures with the sentence vectors.
    assert shown == {title: expected.get(title, NONE) for title in shown}
