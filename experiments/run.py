"""Trains and scores one system: `python -m experiments.run --config=configs/mman.py --workdir=DIR`.

Every field of the config is a flag, such as `--config.data.path=PATH`; a run prints them when it
starts. Notebooks call `experiments.trial.experiment.run` with a config of their own.
"""

import os
import pathlib

import jax
from absl import flags

from experiments.terminal import command
from experiments.terminal.command import Preemption
from experiments.terminal.screen import Screen
from experiments.trial import experiment
from mman_jax.errors import InputError
from mman_jax.training import processes

_CONFIG = command.config_flag("The system to train.")
_CACHE = command.cache_flag()
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Whether learning curves go to WORKDIR/tensorboard, beside curves.csv."
)
_WORKDIR = command.path_flag("workdir", "Where results, checkpoints and the model go.")


def main() -> None:
    """Runs the experiment that the flags name."""
    config = _CONFIG.value
    try:
        distributed = config.distributed
    except OSError as error:  # told only now: the file that --config names is not there
        raise InputError("--config", str(error), "a file such as configs/mman.py") from error
    Preemption.listen()
    processes.join(distributed)
    if _CACHE.value:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(_CACHE.value))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    with Screen(quiet=not processes.is_first()) as screen:
        experiment.run(config, pathlib.Path(_WORKDIR.value), screen, _TENSORBOARD.value)


if __name__ == "__main__":
    command.run(main)
