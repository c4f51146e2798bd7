"""What the paper claims, and what the data say of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.evaluation import significance

MARGIN = 0.02
"""Two systems are level where the whole interval of their difference lies within this."""

CLAIMS = (
    ("attention beats concatenation", "clstm_mma", "clstm_ef", "more"),
    ("cLSTM-MMA is level with cLSTM-LF", "clstm_mma", "clstm_lf", "level"),
    ("MMAN beats cLSTM-MMA", "mman", "clstm_mma", "more"),
    ("MMAN beats cLSTM-LF", "mman", "clstm_lf", "more"),
    ("cLSTM-MMA beats the pairwise network MulT", "clstm_mma", "mult", "more"),
)
"""The claim, the two systems, and whether the first is to have more right, or as much."""

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


def verdict(kind: str, low: float, high: float) -> str:
    """`yes`, `no` or `undecided`, from the interval of the difference.

    Args:
        kind: `more` or `level`, see `CLAIMS`.
        low: of the 95 % interval.
        high: the same.
    """
    if kind == "level":
        yes, no = low > -MARGIN and high < MARGIN, high < -MARGIN or low > MARGIN
    else:
        yes, no = low > 0, high < 0
    return "yes" if yes else "no" if no else "undecided"


def judge(
    comparisons: Sequence[Mapping[str, Any]], parameters: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The verdict on each claim of two systems that were compared.

    Args:
        comparisons: what `compare` gave, with the names `first` and `second`.
        parameters: how many each system has in all.
    """
    found = []
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
                f"yes where the 95 % interval lies within ±{100 * MARGIN:.0f} points; the first has"
                f" {100 * ratio:.0f} % of the second's parameters"
            )
        found.append(
            {
                "claim": claim,
                "first": first,
                "second": second,
                "verdict": verdict(kind, low, high),
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
    positions, labels = (np.asarray(utterances[name]) for name in ("position", "label"))
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
        "accuracy": {
            name: [float((np.asarray(x)[:, i] == labels[i]).mean()) for _, _, i in bins]
            for name, x in answers.items()
        },
    }
