"""Train all systems of the paper on one corpus, and write a report with tables and tests.

    mman paper --workdir=DIR [--config.data.path=PATH] [--config.seeds=10]

Towers that several systems share are trained once. `--systems=mman,clstm_lf,mult` trains only these
systems, and `--seeds_of=fmt=3` gives a slow system fewer seeds. Every system and tower has its own
folder, which the other commands use like that of `mman run`. The tables have a row for a linear
baseline, unless `--nobaseline`. The same command on the same folder resumes an interrupted one.
`--report_only` writes the report again from `DIR/results.json`.
"""

import pathlib
import shlex
import sys

from absl import flags

from mman_jax import report
from mman_jax.cli.terminal import command, config
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.files.lock import alone
from mman_jax.study import jobs, paper
from mman_jax.training.mesh import use_cache
from mman_jax.trial.progress import Preemption

_CONFIG = command.config_flag("The recipe of all systems.")
_WORKDIR = command.path_flag(
    "workdir", "Folder for the report and all trials.", expected="a folder for results"
)
_REPORT_ONLY = flags.DEFINE_bool("report_only", False, "Whether to only write the report again.")
_SYSTEMS = flags.DEFINE_list(
    "systems", [], "Systems to train (mman,clstm_lf); by default all except out_of_fold."
)
_SEEDS_OF = flags.DEFINE_list("seeds_of", [], "Fewer seeds for cited systems: fmt=3,mult=5.")
_PROCESSES = command.processes_flag("Systems")
_BASELINE = command.baseline_flag()
_CACHE = command.cache_flag()


def _command() -> str:
    # These flags do not change the results.
    left_out = ("--workdir", "--compilation_cache", "--processes")
    arguments = " ".join(shlex.quote(x) for x in sys.argv[1:] if not x.startswith(left_out))
    return f"mman paper --workdir=DIR {arguments}".strip()


def _seeds_of() -> dict[str, int]:
    seeds = {}
    for entry in _SEEDS_OF.value:
        name, _, number = entry.partition("=")
        if not number.strip().isdecimal():
            raise InputError("--seeds_of", f"{entry!r:.40}", "a system and a number, fmt=3")
        seeds[name.strip()] = int(number)
    return seeds


def main() -> None:
    """Trains all systems and writes the report, or writes the report again."""
    workdir = pathlib.Path(_WORKDIR.value)
    with alone(workdir), Screen() as screen:
        if _REPORT_ONLY.value:
            report.write_again(workdir / "results.json")
            return
        settings = config.read(_CONFIG)
        cache = use_cache(_CACHE.value)
        Preemption.listen()
        processes = _PROCESSES.value or jobs.default_processes()
        names = [name.strip() for name in _SYSTEMS.value]
        with command.named_flags("systems", "seeds_of"):
            paper.run(
                settings,
                workdir,
                screen,
                processes,
                cache,
                _command(),
                names,
                _seeds_of(),
                config.recipes(),
                _BASELINE.value,
            )
