"""Verdicts on the paper's claims, and scores by position."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.systems.mman import CLAIMS
from mman_jax.tasks import Task

MARGIN = 0.02
"""Two systems are level if the interval of their difference lies within ± this margin."""

_EDGES = (0, 1, 2, 4, 8, 16, 32, 64)


def verdict(kind: str, low: float, high: float, margin: float = MARGIN) -> str:
    """Returns `yes`, `no` or `undecided`, from the 95 % interval of the difference.

    Args:
        kind: `more` or `level`, see `mman_jax.systems.mman.CLAIMS`.
        low: lower end of the interval.
        high: upper end of the interval.
        margin: largest difference of two systems that are level.
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
    """Returns the verdict on each claim whose two systems were compared.

    Args:
        comparisons: results of `paired.compare`, with the names `first` and `second`.
        parameters: total number of parameters of each system.
        spread: `Task.margin_scale`, the factor of the margin; None: 1.
    """
    verdicts = []
    margin = MARGIN if spread is None else MARGIN * spread
    within = f"{100 * MARGIN:.0f} points" if spread is None else f"{margin:.3g}"
    by_pair = {(c["first"], c["second"]): c for c in comparisons}
    for claim, first, second, kind in CLAIMS:
        comparison = by_pair.get((first, second))
        if comparison is None:
            continue  # one of the two systems was not trained
        low, high = comparison["interval"]
        note = "yes if the 95 % interval lies above zero, no if it lies below"
        if kind == "level":
            ratio = parameters[first] / parameters[second]
            note = (
                f"yes if the 95 % interval lies within ±{within}; the first has "
                f"{100 * ratio:.0f} % of the second's parameters"
            )
        verdicts.append(
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
    return verdicts


def by_position(task: Task, values: Mapping[str, np.ndarray], positions: Any) -> dict[str, Any]:
    """Returns the headline score by an utterance's position in its conversation.

    The positions of the bins count from 1, both ends included.

    Args:
        task: the task of the systems.
        values: `Task.score_each` [S, N] of each system.
        positions: [N], from 0.
    """
    positions = np.asarray(positions)
    bins = [
        (low, high, (positions >= low) & (positions < high))
        for low, high in zip(_EDGES, [*_EDGES[1:], np.inf], strict=True)
    ]
    bins = [(low, high, inside) for low, high, inside in bins if inside.any()]
    return {
        "bins": [
            {
                "from": low + 1,
                "to": None if high == np.inf else high,
                "utterances": int(inside.sum()),
            }
            for low, high, inside in bins
        ],
        task.headline.key: {
            name: [float(x[:, inside].mean()) for _, _, inside in bins]
            for name, x in values.items()
        },
    }
