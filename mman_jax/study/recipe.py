"""Source of the config that a sweep writes, with the best trials in its docstring."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.study.sweep import format_settings
from mman_jax.systems import mman
from mman_jax.trial.config import changes, of, title

_SHOWN = 3
_INDENT = "    "
_WRAPPER = textwrap.TextWrapper(
    96, _INDENT, _INDENT, break_long_words=False, break_on_hyphens=False
)


def source(
    config: ConfigDict, about: str, tables: Sequence[tuple[str, Sequence[Any]]], unit: str
) -> str:
    """Returns the source of a config.

    Args:
        config: the config; its data, seeds and devices are not written.
        tables: Optuna's trials by head; the first trial of each has the initial settings.
    """
    lines = [f'"""{about}', "", f"Validation loss in {unit}, the mean over folds and seeds.", ""]
    for head, trials in tables:
        lines += [*_table(head, trials), ""]
    lines[-1] = '"""'
    if title(config) == mman.NAME:
        imported, parameter = "from mman_jax.configs import mman", f"name={_literal(mman.NAME)}"
        call = "mman.tuned(name, FIELDS)"
    else:
        name = ", ".join(map(_literal, filter(None, (config.system, config.name))))
        imported, parameter = "from mman_jax.trial import config", ""
        call = f"config.change(config.of({name}), FIELDS)"
    lines += ["", imported, "", "FIELDS = {"]
    for path, value in changes(of(config.system, config.name), config).items():
        if path.startswith(("network.", "train.")):
            lines.append(f"    {_literal(path)}: {_literal(value)},")
    lines += ["}", "", "", f"def get_config({parameter}):", f"    return {call}", ""]
    return "\n".join(lines)


def best(trials: Sequence[Any]) -> list[Any]:
    """Returns the complete trials of a study, the lowest loss first."""
    complete = [trial for trial in trials if trial.value is not None]
    return sorted(complete, key=lambda trial: (trial.value, trial.number))


def _table(head: str, trials: Sequence[Any]) -> Iterator[str]:
    ranked, first = best(trials), trials[0]
    yield f"{head}: {len(trials)} trials, {len(trials) - len(ranked)} of them pruned or failed"
    top = ranked[:_SHOWN]
    for trial in top if first in top else [*top, first]:
        default = " (the initial settings)" if trial is first else ""
        loss = np.nan if trial.value is None else trial.value
        yield f"  {loss:.4f} trial {trial.number + 1}{default}"
        yield from _WRAPPER.wrap(format_settings(trial.params))


def _literal(value: Any) -> str:
    """Returns a value as formatted source code."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
