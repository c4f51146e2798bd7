"""The recipe that a sweep writes: a config in Python, and in its docstring what was tried."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.configs import mman
from mman_jax.study import rules
from mman_jax.study.search import Row, best
from mman_jax.study.space import ALL_TOWERS

GROUPS = ("network", "train", "baselines")
"""What a recipe holds; data, seeds and devices are a run's own."""

_SHOWN = 3


def source(
    config: ConfigDict,
    about: str,
    searches: Sequence[Sequence[Row]],
    accuracies: rules.Accuracies,
    unit: str,
) -> str:
    """The Python source of a recipe.

    Args:
        config: what was found, whole.
        about: how the docstring begins.
        searches: the rows of each search.
        accuracies: of each rule by which an epoch may be picked.
        unit: what losses are, for people.
    """
    lines = [f'"""{about}', "", *tables(searches, unit), *_table_of_rules(accuracies)]
    changes = [line for name in GROUPS for line in _changes(mman.get_config(), config, name)]
    made = any("ml_collections" in line for line in changes)
    lines += ['"""', "", *(["import ml_collections", ""] if made else [])]
    lines += ["from mman_jax.configs import mman", "", "", "def get_config():"]
    lines += ["    config = mman.get_config()", *(f"    {line}" for line in changes)]
    return "\n".join([*lines, "    return config", ""])


def tables(searches: Sequence[Sequence[Row]], unit: str) -> list[str]:
    """The best trials of each owner of settings, the chosen one first."""
    lines = [f"Validation loss in {unit}: mean (of each fold, seed/seed); the chosen trial first."]
    lines.append("")
    for rows in searches:
        chosen = best(rows)
        numbered = [(number, row) for number, row in enumerate(rows, 1) if not row.pruned]
        pruned = len(rows) - len(numbered)
        for owner in chosen.values:
            if owner == ALL_TOWERS and not chosen.values[owner]:
                continue
            ordered = sorted(
                numbered, key=lambda pair, o=owner: (pair[1] is not chosen, pair[1].loss(o))
            )
            lines.append(f"{owner}: of {len(rows)} tried, {pruned} given up early")
            for number, row in ordered[:_SHOWN]:
                lines.append(f"  {row.loss(owner):.4f} ({by_fold(row, owner)}) trial {number}")
                lines += [f"    {line}" for line in _wrapped(row.values[owner])]
            lines.append("")
    return lines


def by_fold(row: Row, owner: str) -> str:
    """A row's losses: folds apart by blanks, seeds by strokes."""
    losses = row.losses.get(owner)
    losses = np.mean(list(row.losses.values()), axis=0) if losses is None else losses
    return " ".join("/".join(f"{x:.3f}" for x in fold) for fold in losses)


def words(values: Mapping[str, Any]) -> list[str]:
    """Settings as `name=value`."""
    return [f"{name}={value}" for name, value in values.items()]


def _wrapped(values: Mapping[str, Any], width: int = 90) -> Iterator[str]:
    line = ""
    for word in words(values):
        if line and len(line) + len(word) >= width:
            yield line
            line = ""
        line += f" {word}" if line else word
    yield line


def _table_of_rules(accuracies: rules.Accuracies) -> list[str]:
    if not accuracies:
        return ["The rule that picks an epoch was not searched."]
    lines = ["Per cent right where nothing had a say, by what picks the epoch:", ""]
    picked = rules.best(accuracies)
    for rule, found in accuracies.items():
        by_group = " ".join("/".join(f"{100 * x:.1f}" for x in group) for group in found)
        chosen = ", chosen" if rule == picked else ""
        lines.append(f"  {100 * found.mean():.2f} ({by_group}) {rule}{chosen}")
    return lines


def _changes(before: Any, now: Any, name: str, place: str = "config") -> Iterator[str]:
    """The lines that make one group of settings into another."""
    path = f"{place}.{name}" if name.isidentifier() else f"{place}[{_literal(name)}]"
    if name not in now:
        yield f"del {path}"
    elif isinstance(now[name], ConfigDict) and isinstance(before.get(name), ConfigDict):
        for inner in dict.fromkeys([*before[name], *now[name]]):
            yield from _changes(before[name], now[name], inner, path)
    elif isinstance(now[name], ConfigDict):
        yield f"{path} = ml_collections.ConfigDict("
        yield f"    {_literal(now[name].to_dict())}"
        yield ")"
    elif name not in before or now[name] != before[name]:
        yield f"{path} = {_literal(now[name])}"


def _literal(value: Any) -> str:
    """A value as formatted source has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
