"""Comparisons of the paper's systems, and verdicts on its claims."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.evaluation import significance
from mman_jax.systems.mman import CLAIMS
from mman_jax.tasks import Task

MARGIN = 0.02
"""Two systems are level where the whole interval of their difference lies within this."""

_EDGES = (0, 1, 2, 4, 8, 16, 32, 64)


def compare(
    task: Task,
    first: Any,
    second: Any,
    utterances: Mapping[str, Any],
) -> dict[str, Any]:
    """Compares two systems on the same utterances by the task's headline score.

    Args:
        task: what both answer.
        first: answers [S, N, ...] of one system's seeds.
        second: of the other's.
        utterances: the `conversation` and the `label` of each.

    Returns:
        How much better the first is, its interval and p-value; of classes also McNemar's test of
        the answers that most seeds gave.
    """
    labels, sign = utterances["label"], 1 if task.headline.higher_is_better else -1
    gain, other = (sign * task.score_each(x, labels) for x in (first, second))
    result = significance.bootstrap(gain, other, np.asarray(utterances["conversation"]))
    tests = {
        "difference": result.mean,
        "interval": [result.low, result.high],
        "p_bootstrap": result.p,
    }
    if not task.has_probabilities:
        return tests
    votes = [significance.vote(np.asarray(x), len(task.classes)) for x in (first, second)]
    only_first, only_second, p = significance.mcnemar(*(x == np.asarray(labels) for x in votes))
    return tests | {"p_mcnemar": p, "only_first": only_first, "only_second": only_second}


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
        spread: `Task.margin_scale`, of which the margin is a share.
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


def by_position(task: Task, values: Mapping[str, np.ndarray], positions: Any) -> dict[str, Any]:
    """Returns the headline score by an utterance's position in its conversation.

    The positions of the bins count from 1, both ends included.

    Args:
        task: what was answered.
        values: `Task.score_each` [S, N] of each system.
        positions: [N], from 0.
    """
    positions = np.asarray(positions)
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
        task.headline.key: {
            name: [float(x[:, inside].mean()) for _, _, inside in bins]
            for name, x in values.items()
        },
    }
