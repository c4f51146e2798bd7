"""What `mman compare` writes: from its results to a document."""

from collections.abc import Callable, Mapping
from typing import Any

from mman_jax.evaluation import ratings
from mman_jax.evaluation.metrics import names as score_names
from mman_jax.report.document import Cell, Code, Document, Section, Table
from mman_jax.report.numbers import (
    count,
    listed,
    number,
    p_value,
    percent,
    points,
    span,
    spread,
)
from mman_jax.report.sources import trained_and_tested

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
        f"split: {found['split']}. {' '.join(found['notes'])}".strip(),
        sections=sections,
    )


def scores(found: Mapping[str, Any]) -> Table:
    """The scores of each trial."""
    called = _called(found)
    several = len(found["classes"]) > 1
    rows = tuple(
        (
            run["name"] + (f", {task}" if several else ""),
            run["system"],
            listed(run["seeds"][task]),
            *(spread(run["test"][task].get(score), _unit(score)) for score in called),
        )
        for task in found["classes"]
        for run in found["runs"]
    )
    shares = "in per cent" if all(map(ratings.is_share, called)) else "Acc and F1 in per cent"
    return Table(
        "scores",
        f"Scores of the test part, {shares}, mean ± deviation over the seeds.",
        ("trial", "system", "seeds", *called.values()),
        rows,
        words=(0, 1, 2),
    )


def tests(found: Mapping[str, Any]) -> Table:
    """The paired tests, a row a pair."""
    several, score = len(found["classes"]) > 1, found["score"]
    voted = score == "accuracy"
    told = points if ratings.is_share(score) else number
    rows = tuple(
        (
            f"{pair['first']} over {pair['second']}" + (f", {pair['task']}" if several else ""),
            told(pair["difference"]),
            span(pair["interval"], told),
            p_value(pair["p_bootstrap"]),
            _marked(pair["p_bootstrap_holm"]),
            *(_of_votes(pair) if voted else ()),
        )
        for pair in found["comparisons"]
    )
    called = _called(found)[score]
    which = "the second trial's {} less the first's" if score == "mae" else (
        "the first trial's {} less the second's")  # fmt: skip
    mcnemar = (
        " McNemar's exact test is on the seeds' majority answers, utterances taken as independent."
    )
    return Table(
        "tests",
        f"Paired tests on the test part: {which.format(called)}"
        + (", in points." if ratings.is_share(score) else "."),
        ("trials", "difference", "95 % interval", "p (bootstrap)", "Holm",
         *(("only the first right", "only the second right", "p (McNemar)", "Holm")
           if voted else ())),
        rows,
        notes=(
            f"The interval and the first p-value are of {count(found['resamples'])} resamples of "
            f"conversations and of each trial's seeds.{mcnemar * voted} Holm's corrections are for "
            f"the {len(rows)} row{'s' * (len(rows) > 1)} of this table; in bold those below "
            f"{LEVEL}.",
        ),
    )  # fmt: skip


def _called(found: Mapping[str, Any]) -> dict[str, str]:
    """What each score is called, in order."""
    given = next(iter(found["runs"][0]["test"].values()))
    own = score_names(found["protocol"]) if "accuracy" in given else ratings.names(given)
    return {score: own[score] for score in given}


def _of_votes(pair: Mapping[str, Any]) -> tuple:
    return (
        count(pair["only_first"]),
        count(pair["only_second"]),
        p_value(pair["p_mcnemar"]),
        _marked(pair["p_mcnemar_holm"]),
    )


def _unit(score: str) -> Callable[[float], str]:
    return percent if ratings.is_share(score) else number


def _marked(p: float) -> Cell | str:
    return Cell(p_value(p), "strong") if p < LEVEL else p_value(p)
