"""What a run shows below its table of scores: classes, and calibration."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SHARES = ("precision", "recall", "f1")

Listing = tuple[str, Sequence[str], list[Sequence[str]]]


def of(scores: Mapping[str, Any]) -> Iterator[Listing]:
    """Title, columns and rows of each table; results of earlier versions have none.

    Args:
        scores: of one task, as `results.json` holds them.
    """
    if "per_class" in scores["test"]:
        yield _classes(scores)
    if "calibration" in scores["test"]:
        yield _calibration(scores)


def percent(score: Mapping[str, Any]) -> str:
    """A score in per cent, with its deviation over several seeds, and over folds."""
    mean = f"{100 * score['mean']:.1f}"
    seeds = f" ± {100 * score['std']:.1f}" if len(score["per_seed"]) > 1 else ""
    folds = f" (folds ± {100 * score['std_folds']:.1f})" if "std_folds" in score else ""
    return mean + seeds + folds


def _calibration(scores: Mapping[str, Any]) -> Listing:
    parts = {"validation": scores["validation"], "test": scores["test"]}
    rows = [
        (part, *(f"{100 * own['calibration'][when]:.1f}" for when in ("before", "after")))
        for part, own in parts.items()
        if "calibration" in own
    ]
    temperature = f"temperature {scores['test']['calibration']['temperature']:.2f}"
    title = "expected calibration error of the seeds' mean probabilities"
    return title, ("per cent", "as they are", temperature), rows


def _classes(scores: Mapping[str, Any]) -> Listing:
    rows = [
        (name, *(percent(own[share]) for share in _SHARES), str(own["support"]))
        for name, own in zip(scores["classes"], scores["test"]["per_class"], strict=True)
    ]
    return "test, class by class", ("per cent", "precision", "recall", "F1", "utterances"), rows
