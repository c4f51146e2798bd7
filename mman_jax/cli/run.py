"""Train and score one system: `mman run --config=mman --workdir=DIR`.

Every field of the config is a flag, such as `--config.data.path=PATH`. A run first prints the
fields that differ from the config's file, and writes all fields to `DIR/config.json`. With
`--config.data.folds=sessions` every fold is a trial in `DIR/folds`, and `DIR/results.json` pools
their scores. A linear baseline is fitted to the same training part, unless `--nobaseline`. In
Python, `mman_jax.trial.run` does the same with any config.
"""

import pathlib
import sys

from absl import flags

from mman_jax import trial
from mman_jax.cli.terminal import command, config
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import within
from mman_jax.files.lock import alone
from mman_jax.study import folds, jobs
from mman_jax.training import processes
from mman_jax.training.mesh import use_cache
from mman_jax.trial import boards
from mman_jax.trial.progress import Preemption

_CONFIG = command.config_flag("The system to train.")
_CACHE = command.cache_flag()
_PROCESSES = command.processes_flag("Folds")
_BOARDS = [
    flags.DEFINE_bool(kind, False, f"Whether to also show learning curves {where}.")
    for kind, where in boards.WHERE.items()
]
_BASELINE = command.baseline_flag()
_WORKDIR = command.path_flag(
    "workdir", "Folder for results, checkpoints and the model.", expected="a folder for results"
)


def main() -> None:
    """Runs the trial, or the trials on all folds, that the flags describe."""
    settings = config.read(_CONFIG)
    workdir = pathlib.Path(_WORKDIR.value)
    folds.check(settings)
    if not folds.several(settings):
        expected = "--config.data.folds=sessions, or no --processes"
        command.refuse(_PROCESSES, "given for one trial, which has no folds", expected)
    Preemption.listen()
    with within("config"):
        processes.join(settings.distributed)
    board_names = [board.name for board in _BOARDS if board.value]
    cache = use_cache(_CACHE.value)
    first = processes.is_first()
    names = command.named_flags(*boards.WHERE)
    with names, alone(workdir, first=first), Screen(quiet=not first) as screen:
        changed = config.shown(settings, sys.argv)
        screen.line(f"config: {changed}; all of it goes to {workdir / 'config.json'}")
        if folds.several(settings):
            workers = _PROCESSES.value or jobs.default_processes()
            folds.run(settings, workdir, screen, workers, cache, board_names, _BASELINE.value)
        else:
            trial.run(settings, workdir, screen, board_names, _BASELINE.value)
