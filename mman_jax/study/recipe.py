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
from mman_jax.systems.mman import NAME
from mman_jax.trial.config import changes

_SHOWN = 3


def source(
    found: Mapping[str, ConfigDict],
    about: str,
    searches: Sequence[Sequence[Row]],
    accuracies: rules.Accuracies,
    unit: str,
) -> str:
    """The Python source of a recipe.

    Args:
        found: the config of each system of the paper, by its name; its network and its training
            are written, for data, seeds and devices are a run's own.
        about: how the docstring begins.
        searches: the rows of each search.
        accuracies: of each rule by which an epoch may be picked.
        unit: what losses are, for people.
    """
    lines = [f'"""{about}', "", *tables(searches, unit), *_table_of_rules(accuracies)]
    lines += ['"""', "", "from mman_jax.configs import mman", "", "FIELDS = {"]
    for name, config in found.items():
        lines.append(f"    {_literal(name)}: {{")
        for path, value in changes(mman.get_config(name), config).items():
            if path.startswith(("network.", "train.")):
                lines.append(f"        {_literal(path)}: {_literal(value)},")
        lines.append("    },")
    lines += ["}", "", "", f"def get_config(name={_literal(NAME)}):"]
    return "\n".join([*lines, "    return mman.tuned(name, FIELDS)", ""])


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


def _literal(value: Any) -> str:
    """A value as formatted source has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
