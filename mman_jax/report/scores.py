"""Tables of single classes and of groups, and how sure answers are."""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.report import reliability
from mman_jax.report.document import Block, Figure, Table
from mman_jax.report.numbers import NONE, count, listed, percent, points, span, spread
from mman_jax.report.tables import Results, identifier, of_group

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


def by_group(results: Results) -> tuple[Table, ...]:
    """Accuracy by speaker, session and whatever else groups utterances: a table a column."""
    systems = [s for s in of_group(results, "paper").values() if s.get("groups")]
    names = dict.fromkeys(name for system in systems for name in system["groups"])
    return tuple(_groups(name, [s for s in systems if name in s["groups"]]) for name in names)


def _groups(name: str, systems: Sequence[Mapping[str, Any]]) -> Table:
    first, *_ = told = [system["groups"][name] for system in systems]
    rows = [
        (
            group,
            count(own["utterances"]),
            count(own["conversations"]),
            *(spread(of["groups"][group]["accuracy"]) for of in told),
        )
        for group, own in first["groups"].items()
    ]
    gaps = [of["gap"] for of in told]
    if first["gap"]:
        pairs = (f"{gap['first']} over {gap['second']}" for gap in gaps)
        rows.append(("largest gap", "", "", *pairs))
        rows.append(("in points", "", "", *(points(gap["difference"], 1) for gap in gaps)))
        intervals = (span(gap["interval"], lambda x: points(x, 1)) for gap in gaps)
        rows.append(("95 % interval", "", "", *intervals))
    notes = ["The pair was picked by these very scores: with many groups a gap is expected."]
    left = first["left_out"]
    if left:
        notes.append(f"Of one conversation, and left out of the gap: {listed(left[:20])}"
                     + (f" and {len(left) - 20} more." if len(left) > 20 else "."))  # fmt: skip
    return Table(
        f"groups_{identifier(name)}",
        f"Accuracy of the test part by {name}, per cent, mean ± deviation over the seeds. The "
        "interval of the largest gap resamples conversations and seeds.",
        (name, "utterances", "conversations", *(system["title"] for system in systems)),
        tuple(rows),
        notes=tuple(notes if first["gap"] else notes[1:]),
        folded=f"Accuracy of {len(first['groups'])} groups" if len(first["groups"]) > 12 else "",
    )


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
