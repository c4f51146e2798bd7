"""Trains and scores one system: `python -m experiments.run --config=configs/mman.py --workdir=DIR`.

Kept short: notebooks call `experiments.experiment.run` with a config of their own.
"""

import pathlib

from ml_collections import config_flags

from experiments import command, experiment
from experiments.screen import Screen

_CONFIG = config_flags.DEFINE_config_file("config", "configs/mman.py", "The system to train.")
_WORKDIR = command.path_flag("workdir", "Where results, checkpoints and the model go.")


def main() -> None:
    """Runs the experiment that the flags name."""
    with Screen() as screen:
        experiment.run(_CONFIG.value, pathlib.Path(_WORKDIR.value), screen)


if __name__ == "__main__":
    command.run(main)
