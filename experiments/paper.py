"""Every system of the paper on one corpus, and the report: tables, figures, tests, ablations.

    python -m experiments.paper --workdir=DIR [--config.data.path=PATH] [--config.seeds=10]

Systems that share towers train them once. The same command on the same folder goes on where it was
interrupted. `--report_only` draws the report again from `DIR/results.json` alone.
"""

import os
import pathlib
import shlex
import sys

import jax
from absl import flags

from experiments import report
from experiments.study import study, workers
from experiments.terminal import command
from experiments.terminal.screen import Screen
from mman_jax.errors import InputError

_CONFIG = command.config_flag("The recipe of all systems.")
_WORKDIR = command.path_flag("workdir", "Where the report goes, and all that it is made of.")
_REPORT_ONLY = flags.DEFINE_bool("report_only", False, "Whether to draw the report again, alone.")
_PROCESSES = flags.DEFINE_integer(
    "processes", 0, "Systems trained side by side; 0: one a core on CPUs, else one.", 0
)
_CACHE = command.cache_flag()


def _command() -> str:
    # What changes where or how fast it runs changes no number.
    where = ("--workdir", "--compilation_cache", "--processes")
    given = " ".join(shlex.quote(x) for x in sys.argv[1:] if not x.startswith(where))
    return f"python -m experiments.paper --workdir=DIR {given}".strip()


def main() -> None:
    """Runs the whole paper, or draws its report again."""
    workdir = pathlib.Path(_WORKDIR.value)
    with Screen() as screen:
        if _REPORT_ONLY.value:
            report.write_again(workdir / "results.json")
            return
        cache = os.path.expanduser(_CACHE.value)
        if cache:
            jax.config.update("jax_compilation_cache_dir", cache)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        try:
            config = _CONFIG.value.copy_and_resolve_references()  # read only now
        except OSError as error:
            raise InputError("--config", str(error), "a file such as configs/mman.py") from error
        command.Preemption.listen()
        processes = _PROCESSES.value or workers.default_processes()
        study.run(config, workdir, screen, processes, cache, _command())


if __name__ == "__main__":
    command.run(main)
