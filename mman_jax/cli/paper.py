"""Train all systems of the paper on one corpus, and write a report with tables and tests.

    mman paper --workdir=DIR [--config.data.path=PATH] [--config.seeds=10]

Systems that share towers train them once; `--systems=mman,clstm_lf,mult` trains some alone, and
`--seeds_of=fmt=3` gives a slow one fewer seeds. Every system and tower has a folder of its own,
with which the other commands work as after `mman run`. The same command on the same folder
goes on where it was interrupted. `--report_only` draws the report again from `DIR/results.json`.
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
    "workdir",
    "Where the report goes, and all that it is made of.",
    expected="a folder for results",
)
_REPORT_ONLY = flags.DEFINE_bool("report_only", False, "Whether to draw the report again, alone.")
_SYSTEMS = flags.DEFINE_list(
    "systems", [], "Those to train, by name (mman,clstm_lf); none: all but out_of_fold."
)
_SEEDS_OF = flags.DEFINE_list("seeds_of", [], "Fewer seeds of a cited system: fmt=3,mult=5.")
_PROCESSES = command.processes_flag("Systems")
_CACHE = command.cache_flag()


def _command() -> str:
    # What changes where or how fast it runs changes no number.
    where = ("--workdir", "--compilation_cache", "--processes")
    given = " ".join(shlex.quote(x) for x in sys.argv[1:] if not x.startswith(where))
    return f"mman paper --workdir=DIR {given}".strip()


def _seeds_of() -> dict[str, int]:
    found = {}
    for one in _SEEDS_OF.value:
        name, _, number = one.partition("=")
        if not number.strip().isdecimal():
            raise InputError("--seeds_of", f"{one!r:.40}", "a system and a number, fmt=3")
        found[name.strip()] = int(number)
    return found


def main() -> None:
    """Runs the whole paper, or draws its report again."""
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
        how = (processes, cache, _command(), names, _seeds_of(), config.recipes())
        with command.named_flags("systems", "seeds_of"):
            paper.run(settings, workdir, screen, *how)
