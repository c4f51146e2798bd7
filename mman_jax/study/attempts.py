"""What a sweep tries, as functions that a process of its own can be given."""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from mman_jax.study.inner import Candidate, Inner, Towers
from mman_jax.study.search import Row, Search
from mman_jax.systems.mman import FUSION
from mman_jax.trial.progress import Progress

Attempt = tuple[Mapping[str, np.ndarray], bool]
"""Losses [folds, seeds] by owner, and whether it was given up before its last fold."""


def of_towers(
    inner: Inner,
    config: ConfigDict,
    towers: Sequence[str],
    seeds: Sequence[int],
    search: Search,
    rows: Sequence[Row],
    progress: Progress,
) -> Attempt:
    """Trains towers under a config on one fold after the other; each owns its settings.

    Each is a program of its own: in one of several towers, those that have stopped are computed
    until the last one has.

    Args:
        inner: the folds.
        config: of a system with these towers.
        towers: their names.
        seeds: S seeds.
        search: what says that the attempt is hopeless,
        rows: beside these.
        progress: where progress is shown.
    """
    apart = {name: Candidate(inner, config, seeds, progress, [name]) for name in towers}
    return _attempt(apart, {name: name for name in towers}, search, rows)


def of_fusion(
    inner: Inner,
    config: ConfigDict,
    owner: str,
    frozen: Sequence[Towers],
    seeds: Sequence[int],
    search: Search,
    rows: Sequence[Row],
    progress: Progress,
) -> Attempt:
    """Trains a late fusion on frozen towers, as `of_towers`.

    Args:
        inner: the folds.
        config: of a system with these towers.
        owner: of the fusion's settings.
        frozen: the towers, of each fold.
        seeds: S seeds.
        search: what says that the attempt is hopeless,
        rows: beside these.
        progress: where progress is shown.
    """
    whole = {FUSION: Candidate(inner, config, seeds, progress)}
    return _attempt(whole, {FUSION: owner}, search, rows, frozen)


def frozen_towers(
    inner: Inner,
    config: ConfigDict,
    towers: Sequence[str],
    seeds: Sequence[int],
    fold: int,
    progress: Progress,
) -> Towers:
    """Trains towers on one fold, for a late fusion.

    Args:
        inner: the folds.
        config: of a system with these towers.
        towers: their names.
        seeds: S seeds.
        fold: its number.
        progress: where progress is shown.
    """
    name, found = f"under a fusion, fold {inner.held.names[fold]}", {}
    for tower in towers:
        candidate = Candidate(inner, config, seeds, progress, [tower])
        found |= candidate.towers(candidate.train(fold, f"{tower} {name}"))
    return found


def _attempt(
    candidates: Mapping[str, Candidate],
    owners: Mapping[str, str],
    search: Search,
    rows: Sequence[Row],
    towers: Sequence[Towers] | None = None,
) -> Attempt:
    """As long as it is not hopeless; by head what trains it, and whose settings its loss is of."""
    names = next(iter(candidates.values())).folds.names
    losses = {owner: [] for owner in owners.values()}
    for fold, name in enumerate(names):
        for head, candidate in candidates.items():
            snapshot = candidate.train(fold, f"fold {name}", towers and towers[fold])
            losses[owners[head]].append(candidate.losses(fold, snapshot)[head])
        so_far = {owner: np.array(several) for owner, several in losses.items()}
        if fold + 1 < len(names) and search.hopeless(rows, so_far):
            return so_far, True
    return so_far, False
