"""What is told of trials beside the counts of their answers, averaged over folds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.trial import results

Scores = Mapping[str, Any]


def averaged(
    spreads: Sequence[Scores], chosen: Sequence[list[int]], weights: Sequence[float]
) -> dict[str, Any]:
    """By seed the mean over the folds of a score that is itself a mean over utterances.

    Args:
        spreads: of each fold, with `per_seed`.
        chosen: of each fold the places of the seeds that count.
        weights: of each fold, such as its utterances.
    """
    values = [np.asarray(x["per_seed"])[seeds] for x, seeds in zip(spreads, chosen, strict=True)]
    pooled = results.spread(np.average(values, axis=0, weights=weights))
    return pooled | over_folds([x.mean() for x in values])


def over_folds(means: Sequence[float]) -> dict[str, Any]:
    """The mean of each fold, and how far they lie apart."""
    spread = results.spread(means)
    return {"per_fold": spread["per_seed"], "std_folds": spread["std"]}


def curves(folds: Sequence[Scores]) -> dict[str, list[float]]:
    """By epoch the mean over the folds that still trained."""
    found = {}
    for name in folds[0]:
        lines = [fold[name] for fold in folds]
        epochs = range(max(map(len, lines)))
        found[name] = [float(np.mean([line[e] for line in lines if e < len(line)])) for e in epochs]
    return found


def attention(folds: Sequence[Scores]) -> dict[str, Any] | None:
    """The mean over all utterances; the conversation is the first fold's."""
    first = folds[0]["attention"]
    if first is None:
        return None
    every = [len(fold["utterances"]["label"]) for fold in folds]
    by_class = first["by_class"]  # of numbers there are none
    counts = [np.bincount(fold["utterances"]["label"], minlength=len(by_class))
              for fold in folds] if by_class else []  # fmt: skip

    def mean(maps: Iterable[Any], weights: Sequence[int]) -> Any:
        return np.average(list(maps), axis=0, weights=np.maximum(weights, 1e-9)).tolist()

    return first | {
        "mean": mean((f["attention"]["mean"] for f in folds), every),
        "by_class": {
            name: mean((f["attention"]["by_class"][name] for f in folds), [n[c] for n in counts])
            for c, name in enumerate(by_class)
        },
    }


def missing(folds: Sequence[Scores], chosen: Sequence[list[int]]) -> dict[str, Any]:
    """The score without each modality, over all utterances."""
    scored = [len(fold["utterances"]["label"]) for fold in folds]

    def without(modality: str) -> dict[str, Any]:
        each = [fold["missing"][modality] for fold in folds]
        return {name: averaged([x[name] for x in each], chosen, scored) for name in each[0]}

    return {modality: without(modality) for modality in folds[0]["missing"]}
