"""Tables of details below a run's scores: classes, calibration, groups."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mman_jax.tasks.score import spread

_SHARES = ("precision", "recall", "f1")

_MOST = 12
"""Groups shown at most."""

Listing = tuple[str, Sequence[str], list[tuple[str, ...]]]
"""Title, columns and rows of a table."""


def of(scores: Mapping[str, Any]) -> Iterator[Listing]:
    """Yields the tables that the results have data for.

    Args:
        scores: of one task, as in `results.json`.
    """
    if "per_class" in scores["test"]:
        yield _classes(scores)
    if "calibration" in scores["test"]:
        yield _calibration(scores)
    for name, compared in scores.get("groups", {}).items():
        yield _groups(name, compared)


def _groups(name: str, compared: Mapping[str, Any]) -> Listing:
    groups = compared["groups"]
    largest = sorted(groups, key=lambda group: -groups[group]["utterances"])[:_MOST]
    rows = [
        (
            group,
            *(spread(groups[group][score]) for score in ("accuracy", "unweighted_recall")),
            *(str(groups[group][count]) for count in ("utterances", "conversations")),
        )
        for group in sorted(largest)
    ]
    gap = compared["gap"]
    if gap:
        low, high = (f"{100 * end:+.1f}" for end in gap["interval"])
        points = f"{100 * gap['difference']:+.1f} ({low} to {high})"
        rows.append((f"gap: {gap['first']} over {gap['second']}", points, "", "", ""))
    title = f"test, by {name}"
    if len(groups) > _MOST:
        title += f": the {_MOST} largest of {len(groups)}"
    if compared["left_out"]:
        title += f"; {len(compared['left_out'])} of one conversation are left out of the gap"
    columns = ("per cent", "accuracy", "unweighted recall", "utterances", "conversations")
    return title, columns, rows


def _calibration(scores: Mapping[str, Any]) -> Listing:
    parts = {"validation": scores["validation"], "test": scores["test"]}
    rows = [
        (part, *(f"{100 * scored['calibration'][when]:.1f}" for when in ("before", "after")))
        for part, scored in parts.items()
        if "calibration" in scored
    ]
    temperature = f"temperature {scores['test']['calibration']['temperature']:.2f}"
    title = "expected calibration error of the seeds' mean probabilities"
    return title, ("per cent", "as they are", temperature), rows


def _classes(scores: Mapping[str, Any]) -> Listing:
    rows = [
        (name, *(spread(scored[share]) for share in _SHARES), str(scored["support"]))
        for name, scored in zip(scores["classes"], scores["test"]["per_class"], strict=True)
    ]
    return "test, class by class", ("per cent", "precision", "recall", "F1", "utterances"), rows
