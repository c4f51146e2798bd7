"""Tables of single classes, and of how sure answers are."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report import reliability
from experiments.report.document import Block, Figure, Table
from experiments.report.numbers import NONE, count, listed, percent, spread
from experiments.report.tables import Results, identifier, of_group

_SHARES = ("precision", "recall", "f1")


def by_class(results: Results) -> tuple[Table, ...]:
    """Precision, recall and F1 of every class, a table a system of the paper."""
    return tuple(
        _classes(name, system["title"], results["classes"], system["test"])
        for name, system in of_group(results, "paper").items()
        if "per_class" in system["test"]
    )


def calibration(results: Results, source: str = "") -> tuple[Block, ...]:
    """Reliability and expected calibration errors of the paper's systems, with the temperature.

    Args:
        results: of all systems.
        source: see `drawing.sign`.
    """
    kept = {
        system["title"]: system["calibration"]["test"]
        for system in of_group(results, "paper").values()
        if system.get("calibration")
    }
    if not kept:
        return ()
    figure = Figure(
        "reliability",
        "How often answers to the test part are right, by how sure they are. Above the diagonal "
        "answers are better than they claim, below it worse. The larger a mark, the more "
        "utterances.",
        f"Reliability diagrams of {listed(list(kept))}, before and after the temperature.",
        reliability.diagrams(kept, source),
    )
    return figure, _errors(results)


def _errors(results: Results) -> Table:
    rows = []
    for system in of_group(results, "paper").values():
        parts = [system[part].get("calibration") for part in ("validation", "test")]
        if None in parts:
            continue  # of an earlier version
        cells = [percent(own[when]) for own in parts for when in ("before", "after")]
        rows.append((system["title"], f"{parts[0]['temperature']:.2f}", *cells))
    return Table(
        "calibration",
        "Expected calibration error in per cent, 15 bins, of what a model answers: the mean of the "
        "seeds' probabilities. The temperature is fitted on the validation part, and tempers "
        "answers to other files, too.",
        ("system", "temperature", "validation", "validation, tempered", "test", "test, tempered"),
        tuple(rows),
    )


def _classes(name: str, title: str, classes: Sequence[str], test: Mapping[str, Any]) -> Table:
    several = test["per_class"]
    rows = [
        (label, *(spread(own[share]) for share in _SHARES), count(own["support"]))
        for label, own in zip(classes, several, strict=True)
    ]
    total = count(sum(own["support"] for own in several))
    unweighted = (spread(test["unweighted_recall"]), spread(test["macro_f1"]))
    rows.append(("mean of the classes", NONE, *unweighted, total))
    return Table(
        f"classes_{identifier(name)}",
        f"{title}: the classes of the test part, per cent, mean ± deviation over the seeds. The "
        "means are the unweighted recall and the macro F1.",
        ("class", "precision", "recall", "F1", "utterances"),
        tuple(rows),
    )
