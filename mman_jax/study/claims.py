"""Verdicts on the claims of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.evaluation import significance
from mman_jax.systems.mman import CLAIMS

MARGIN = 0.02
"""Two systems are level where the whole interval of their difference lies within this."""

_EDGES = (0, 1, 2, 4, 8, 16, 32, 64)


def compare(
    first: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]],
    utterances: Mapping[str, Sequence[Any]],
    classes: int,
) -> dict[str, Any]:
    """Two systems on the same utterances: the difference of their accuracies and how sure it is.

    Args:
        first: answers [S, N] of one system's seeds.
        second: of the other's.
        utterances: the `conversation` and the `label` of each.
        classes: C.
    """
    labels = np.asarray(utterances["label"])
    answers = [np.asarray(x) for x in (first, second)]
    right = [x == labels for x in answers]
    found = significance.bootstrap(*right, np.asarray(utterances["conversation"]))
    voted = [significance.vote(x, classes) == labels for x in answers]
    only_first, only_second, p_mcnemar = significance.mcnemar(*voted)
    return {
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p_bootstrap": found.p,
        "p_mcnemar": p_mcnemar,
        "only_first": only_first,
        "only_second": only_second,
    }


def compare_errors(
    first: np.ndarray, second: np.ndarray, utterances: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Two systems that answer numbers: how much smaller the first's mean absolute error is.

    Args:
        first: absolute errors [S, N] of one system's seeds, see `errors`.
        second: of the other's.
        utterances: the `conversation` of each.
    """
    found = significance.bootstrap(-first, -second, np.asarray(utterances["conversation"]))
    return {
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p_bootstrap": found.p,
    }


def errors(answers: Sequence[Any], utterances: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Absolute errors [S, N] of answers [S, N, T]; of several targets the mean over those rated.

    Args:
        answers: in the targets' units.
        utterances: the `label` [N, T] of each, None where it is not rated.
    """
    rated = np.asarray(utterances["label"], np.float64)
    return np.nanmean(np.abs(np.asarray(answers, np.float64) - rated), axis=-1)


def verdict(kind: str, low: float, high: float, margin: float = MARGIN) -> str:
    """`yes`, `no` or `undecided`, from the interval of the difference.

    Args:
        kind: `more` or `level`, see `mman_jax.systems.mman.CLAIMS`.
        low: of the 95 % interval.
        high: the same.
        margin: within which two are level.
    """
    if kind == "level":
        yes, no = low > -margin and high < margin, high < -margin or low > margin
    else:
        yes, no = low > 0, high < 0
    return "yes" if yes else "no" if no else "undecided"


def judge(
    comparisons: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, int],
    spread: float | None = None,
) -> list[dict[str, Any]]:
    """The verdict on each claim of two systems that were compared.

    Args:
        comparisons: what `compare` gave, with the names `first` and `second`.
        parameters: how many each system has in all.
        spread: of targets, their deviation, of which the margin is a share; None: of accuracies.
    """
    found = []
    margin = MARGIN if spread is None else MARGIN * spread
    within = f"{100 * MARGIN:.0f} points" if spread is None else f"{margin:.3g}"
    by_pair = {(c["first"], c["second"]): c for c in comparisons}
    for claim, first, second, kind in CLAIMS:
        comparison = by_pair.get((first, second))
        if comparison is None:
            continue  # one of the two was not trained
        low, high = comparison["interval"]
        note = "yes where the 95 % interval lies above nothing, no where it lies below"
        if kind == "level":
            ratio = parameters[first] / parameters[second]
            note = (
                f"yes where the 95 % interval lies within ±{within}; the first has "
                f"{100 * ratio:.0f} % of the second's parameters"
            )
        found.append(
            {
                "claim": claim,
                "first": first,
                "second": second,
                "verdict": verdict(kind, low, high, margin),
                "difference": comparison["difference"],
                "interval": [low, high],
                "p": comparison["p_bootstrap"],
                "note": note,
            }
        )
    return found


def by_position(
    answers: Mapping[str, Sequence[Sequence[int]]], utterances: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Accuracy by an utterance's position in its conversation, the mean over the seeds.

    The positions of the bins count from 1, both ends included.

    Args:
        answers: [S, N] of each system.
        utterances: the `position` and the `label` of each.
    """
    labels = np.asarray(utterances["label"])
    right = {name: np.asarray(x) == labels for name, x in answers.items()}
    return _by_position(right, utterances, "accuracy")


def errors_by_position(
    errors: Mapping[str, np.ndarray], utterances: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """The same of mean absolute errors.

    Args:
        errors: [S, N] of each system.
        utterances: the `position` of each.
    """
    return _by_position(errors, utterances, "mae")


def _by_position(
    values: Mapping[str, np.ndarray], utterances: Mapping[str, Sequence[Any]], what: str
) -> dict[str, Any]:
    positions = np.asarray(utterances["position"])
    bins = [
        (low, high, (positions >= low) & (positions < high))
        for low, high in zip(_EDGES, [*_EDGES[1:], np.inf], strict=True)
    ]
    bins = [one for one in bins if one[2].any()]
    return {
        "bins": [
            {
                "from": low + 1,
                "to": None if high == np.inf else high,
                "utterances": int(inside.sum()),
            }
            for low, high, inside in bins
        ],
        what: {name: [float(x[:, i].mean()) for _, _, i in bins] for name, x in values.items()},
    }
