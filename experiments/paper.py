"""Every system of the paper on one corpus, and the report: tables, figures, tests, ablations.

    python -m experiments.paper --workdir=DIR [--config.data.path=PATH] [--config.seeds=10]

Systems that share towers train them once. The same command on the same folder goes on where it was
interrupted. `--report_only` draws the report again from `DIR/results.json` alone.
"""

import pathlib
import shlex
import sys

from absl import flags

from experiments import report
from experiments.study import study, workers
from experiments.terminal import command, config
from experiments.terminal.lock import alone
from experiments.terminal.screen import Screen

_CONFIG = command.config_flag("The recipe of all systems.")
_WORKDIR = command.path_flag(
    "workdir",
    "Where the report goes, and all that it is made of.",
    expected="a folder for results",
)
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
    with alone(workdir), Screen() as screen:
        if _REPORT_ONLY.value:
            report.write_again(workdir / "results.json")
            return
        settings = config.read(_CONFIG)
        cache = command.use_cache(_CACHE.value)
        command.Preemption.listen()
        processes = _PROCESSES.value or workers.default_processes()
        study.run(settings, workdir, screen, processes, cache, _command())


if __name__ == "__main__":
    command.run(main)
