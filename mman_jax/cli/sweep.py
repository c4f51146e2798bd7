"""Search the settings of a system: `mman sweep --config=mult --output=mine.py`.

Settings are compared by the mean validation loss over folds inside the training part and over
seeds; the corpus's test part is not used. Each system defines its `search_space`; Optuna samples
and prunes (extra: `[sweep]`). Each tower gets separate settings; the fusion is then searched on
towers that are trained once. The output is a config for the other commands, such as `mman run
--config=mine.py`. The same command resumes an interrupted search from `--storage`.
"""

import json
import pathlib
import sys
from typing import Any

from absl import flags

from mman_jax.cli.terminal import command, config
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.files.lock import alone
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.study import recipe
from mman_jax.study.folds import prepare_inner
from mman_jax.study.sweep import Budget, Sweep, format_settings, load_optuna
from mman_jax.systems import use
from mman_jax.training.mesh import use_cache
from mman_jax.trial import folder
from mman_jax.trial.config import title as name_of
from mman_jax.trial.corpora import load_corpus
from mman_jax.trial.progress import Preemption

_CONFIG = command.config_flag("The config to start from, which is the first trial.")
_OUTPUT = command.path_flag("output", "The config to write, such as mine.py.")
_TRIALS = flags.DEFINE_integer(
    "trials", None, "Trials of each study; by default 40, or with --hours no limit.", 1
)
_SEEDS = flags.DEFINE_integer("sweep_seeds", 2, "Seeds of each trial.", 1)
_FOLDS = flags.DEFINE_string(
    "sweep_folds", "", "Folds inside the training part: sessions (if three or more), speakers, N."
)
_FIELDS = flags.DEFINE_list(
    "fields", [], "Settings to search, by their last names; by default, all."
)
_STORAGE = command.path_flag(
    "storage", "Folder of the trials; by default NAME.sweep next to the output.", must=False
)
_HOURS = flags.DEFINE_float("hours", None, "Hours after which no trial is started.", 0)
_JOBS = flags.DEFINE_integer("jobs", 1, "Number of trials that run in parallel.", 1)
_SEED = command.seed_flag("Random seed of the search.")
_CACHE = command.cache_flag()
_DEFAULT_TRIALS, _SHOWN = 40, 10


@command.named_flags("fields", "sweep_folds", "config")
def main() -> None:
    """Searches the settings and writes the config."""
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".py":
        raise InputError("--output", str(output), "a path that ends in .py")
    regular_file(output)
    start = config.read(_CONFIG).unlock()
    if start.data.test:
        found = f"{start.data.test!r}, but a sweep only uses the training part"
        raise InputError("config.data.test", found, "none")
    if start.distributed:
        raise InputError("config.distributed", repr(start.distributed), "one process")
    load_optuna()
    use(start.system)
    use_cache(_CACHE.value)
    Preemption.listen(interrupts=True)
    inner = prepare_inner(start, _FOLDS.value)
    trials = _TRIALS.value or (None if _HOURS.value is not None else _DEFAULT_TRIALS)
    budget = Budget(trials, _HOURS.value, _SEEDS.value, _JOBS.value, _SEED.value)
    storage = pathlib.Path(_STORAGE.value or output.with_suffix(".sweep"))
    stored_config = json.loads(start.to_json())
    stored_config["sweep"] = {"seeds": budget.seeds, "folds": _FOLDS.value, "fields": _FIELDS.value,
                       "seed": budget.seed}  # fmt: skip
    sweep = Sweep(start, inner, budget, [name.strip() for name in _FIELDS.value])
    with alone(storage), Screen() as screen:
        folder.claim(storage, stored_config, load_corpus(start.data))
        for sentence in inner.about:
            screen.line(sentence)
        best = sweep.run(_open(storage), screen)
        unit = inner.task.objective(start.train).unit
        for head, ended in sweep.tables:
            _show(screen, head, ended, unit)
        corpus = pathlib.Path(start.data.path).name if start.data.path else "the synthetic corpus"
        seeds = f"{budget.seeds} seed{'s' * (budget.seeds > 1)}"
        groups = f"{len(inner.folds)} folds inside its training part, {seeds} each"
        about = f"Settings of {name_of(best)} for {corpus}.\n\nChosen by a sweep: {groups}."
        write_whole(output, recipe.source(best, about, sweep.tables, unit).encode())
        screen.line(f"{output} is written, from {config.shown(start, sys.argv)}")


def _open(storage: pathlib.Path) -> Any:
    """Opens Optuna's storage in a folder."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(storage / "trials.log")
    return JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))


def _show(screen: Screen, head: str, trials: list[Any], unit: str) -> None:
    start = trials[0].params
    rows = []
    for trial in recipe.best(trials)[:_SHOWN]:
        changed = {path: value for path, value in trial.params.items() if value != start[path]}
        settings = format_settings(changed) or "those at the start"
        rows.append((str(trial.number + 1), f"{trial.value:.4f}", settings))
    title = f"{head}: the best of {len(trials)} trials, loss in {unit}"
    screen.listing(title, ("trial", "loss", "settings"), rows)
