"""Tables of single classes: a table a system."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.document import Table
from experiments.report.numbers import NONE, count, spread
from experiments.report.tables import Results, identifier, of_group

_SHARES = ("precision", "recall", "f1")


def by_class(results: Results) -> tuple[Table, ...]:
    """Precision, recall and F1 of every class, a table a system of the paper."""
    return tuple(
        _classes(name, system["title"], results["classes"], system["test"])
        for name, system in of_group(results, "paper").items()
        if "per_class" in system["test"]
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
