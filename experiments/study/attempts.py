"""What a sweep tries, as functions that a process of its own can be given."""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from experiments.study.inner import Candidate, Inner, Towers
from experiments.study.search import Row, Search
from experiments.terminal.screen import Screen
from mman_jax.systems.mman import FUSION

Attempt = tuple[Mapping[str, np.ndarray], bool]
"""Losses [folds, seeds] by owner, and whether it was given up before its last fold."""


def of_towers(
    inner: Inner,
    config: ConfigDict,
    towers: Sequence[str],
    seeds: Sequence[int],
    search: Search,
    rows: Sequence[Row],
    screen: Screen,
) -> Attempt:
    """Trains towers under a config on one fold after the other; each owns its settings.

    Args:
        inner: the folds.
        config: of a system with these towers.
        towers: their names.
        seeds: S seeds.
        search: what says that the attempt is hopeless,
        rows: beside these.
        screen: where progress is shown.
    """
    candidate = Candidate(inner, config, seeds, screen, towers)
    return _attempt(candidate, {name: name for name in towers}, search, rows)


def of_fusion(
    inner: Inner,
    config: ConfigDict,
    owner: str,
    frozen: Sequence[Towers],
    seeds: Sequence[int],
    search: Search,
    rows: Sequence[Row],
    screen: Screen,
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
        screen: where progress is shown.
    """
    candidate = Candidate(inner, config, seeds, screen)
    return _attempt(candidate, {FUSION: owner}, search, rows, frozen)


def frozen_towers(
    inner: Inner,
    config: ConfigDict,
    towers: Sequence[str],
    seeds: Sequence[int],
    fold: int,
    screen: Screen,
) -> Towers:
    """Trains towers on one fold, for a late fusion.

    Args:
        inner: the folds.
        config: of a system with these towers.
        towers: their names.
        seeds: S seeds.
        fold: its number.
        screen: where progress is shown.
    """
    candidate = Candidate(inner, config, seeds, screen, towers)
    name = f"towers under a fusion, fold {inner.held.names[fold]}"
    return candidate.towers(candidate.train(fold, name))


def _attempt(
    candidate: Candidate,
    owners: Mapping[str, str],
    search: Search,
    rows: Sequence[Row],
    towers: Sequence[Towers] | None = None,
) -> Attempt:
    """As long as it is not hopeless; `owners` by head, whose settings its loss is of."""
    names, losses = candidate.folds.names, {owner: [] for owner in owners.values()}
    for fold, name in enumerate(names):
        snapshot = candidate.train(fold, f"fold {name}", towers and towers[fold])
        found = candidate.losses(fold, snapshot)
        for head, owner in owners.items():
            losses[owner].append(found[head])
        so_far = {owner: np.array(several) for owner, several in losses.items()}
        if fold + 1 < len(names) and search.hopeless(rows, so_far):
            return so_far, True
    return so_far, False
