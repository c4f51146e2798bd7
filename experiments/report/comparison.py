"""What `experiments.compare` writes: from its results to a document."""

from collections.abc import Mapping
from typing import Any

from experiments.report.document import Cell, Code, Document, Section, Table
from experiments.report.numbers import count, listed, p_value, points, span, spread
from experiments.report.sources import trained_and_tested
from mman_jax.evaluation.metrics import METRICS
from mman_jax.evaluation.metrics import names as score_names

LEVEL = 0.05
"""A corrected p-value below this stands out."""


def document(found: Mapping[str, Any]) -> Document:
    """The document.

    Args:
        found: what `study.compared.compare` gave.
    """
    sections = (
        Section("scores-section", "Scores", (scores(found),)),
        Section("tests-section", "Paired tests", (tests(found),)),
        Section("made-section", "How it was made", (Code(found["command"]),)),
    )
    return Document(
        title=f"{len(found['runs'])} trials compared",
        warning="",
        summary=f"All were {trained_and_tested(found['corpus'])}, protocol {found['protocol']}; "
        f"split: {found['split']}.",
        sections=sections,
    )


def scores(found: Mapping[str, Any]) -> Table:
    """The scores of each trial."""
    called = score_names(found["protocol"])
    several = len(found["classes"]) > 1
    rows = tuple(
        (
            run["name"] + (f", {task}" if several else ""),
            run["system"],
            listed(run["seeds"][task]),
            *(spread(run["test"][task].get(metric)) for metric in METRICS),
        )
        for task in found["classes"]
        for run in found["runs"]
    )
    return Table(
        "scores",
        "Scores of the test part in per cent, mean ± deviation over the seeds.",
        ("trial", "system", "seeds", *(called[metric] for metric in METRICS)),
        rows,
        words=(0, 1, 2),
    )


def tests(found: Mapping[str, Any]) -> Table:
    """The paired tests, a row a pair."""
    several = len(found["classes"]) > 1
    rows = tuple(
        (
            f"{pair['first']} over {pair['second']}" + (f", {pair['task']}" if several else ""),
            points(pair["difference"]),
            span(pair["interval"], points),
            p_value(pair["p_bootstrap"]),
            _marked(pair["p_bootstrap_holm"]),
            count(pair["only_first"]),
            count(pair["only_second"]),
            p_value(pair["p_mcnemar"]),
            _marked(pair["p_mcnemar_holm"]),
        )
        for pair in found["comparisons"]
    )
    return Table(
        "tests",
        "Paired tests on the test part: the first trial's accuracy less the second's, in points.",
        ("trials", "difference", "95 % interval", "p (bootstrap)", "Holm", "only the first right",
         "only the second right", "p (McNemar)", "Holm"),
        rows,
        notes=(
            f"The interval and the first p-value are of {count(found['resamples'])} resamples of "
            "conversations and of each trial's seeds. McNemar's exact test is on the seeds' "
            "majority answers, utterances taken as independent. Holm's corrections are for the "
            f"{len(rows)} row{'s' * (len(rows) > 1)} of this table; in bold those below {LEVEL}.",
        ),
    )  # fmt: skip


def _marked(p: float) -> Cell | str:
    return Cell(p_value(p), "strong") if p < LEVEL else p_value(p)
