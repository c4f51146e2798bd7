"""Every system of the paper on one corpus, and the report: tables, figures, tests, ablations.

    python -m experiments.paper --workdir=DIR [--config.data.path=PATH] [--config.seeds=10]

Systems that share towers train them once. The same command on the same folder goes on where it was
interrupted. `--report_only` draws the report again from `DIR/results.json` alone.
"""

import json
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import command, fitting, folder, jobs, plan, report, summary
from experiments.experiment import load_corpus, prepare_experiment
from experiments.screen import Screen
from mman_jax.data import protocols
from mman_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file("config", "configs/mman.py", "The recipe of all systems.")
_WORKDIR = command.path_flag("workdir", "Where the report goes, and all that it is made of.")
_REPORT_ONLY = flags.DEFINE_bool("report_only", False, "Whether to draw the report again, alone.")
_PROCESSES = flags.DEFINE_integer(
    "processes", 0, "Systems trained side by side; 0: one a core on CPUs, else one.", 0
)
_CACHE = command.cache_flag()

BINARY = ("clstm_mma", "mman")
"""The systems of Table 3."""


def run(config: ConfigDict, workdir: pathlib.Path, screen: Screen, processes: int = 1) -> None:
    """Trains all systems and writes the report.

    Args:
        config: the recipe; every system is made from it.
        workdir: gets `report.html`, `report.md`, `results.json` and `figures`.
        screen: where progress is shown.
        processes: how many systems are trained side by side.

    Raises:
        InputError: if the config or its corpus cannot be used.
    """
    config = config.copy_and_resolve_references().unlock()
    corpus = load_corpus(config.data)
    if config.data.protocol == "auto" and protocols.is_iemocap(corpus):
        config.data.protocol = "mman4"  # the paper's four classes
    modalities = list(corpus.dims)
    systems = plan.systems(config, modalities)
    whole = next(system for system in systems if system.name == "mman")
    experiment = prepare_experiment(whole.config)
    chosen = json.loads(config.to_json())
    folder.holds(workdir, chosen)
    folder.claim(workdir, chosen)
    todo, folders = _jobs(systems, config, modalities, workdir)
    tasks: dict[str, list[pathlib.Path]] = {}
    if config.data.protocol == "mman4" and protocols.is_iemocap(corpus):
        binary = config.copy_and_resolve_references()
        binary.data.protocol = "binary4"
        chosen = [s for s in plan.systems(binary, modalities) if s.name in BINARY]
        more, tasks = _jobs(chosen, binary, modalities, workdir / "binary4")
        todo += more
    jobs.run(todo, screen, processes, os.path.expanduser(_CACHE.value))
    found = summary.summarise(systems, folders, tasks, experiment, _command())
    report.write(found, workdir)
    content = json.dumps(found, allow_nan=False)
    command.write_whole(workdir / "results.json", (content + "\n").encode())
    screen.line(f"{workdir / 'report.html'} is written")


def _jobs(
    systems: Sequence[plan.System],
    config: ConfigDict,
    modalities: Sequence[str],
    workdir: pathlib.Path,
) -> tuple[list[fitting.Job], dict[str, list[pathlib.Path]]]:
    """What to train, towers first; and for each system its own folder and then its towers'."""
    towers: dict[pathlib.Path, fitting.Job] = {}
    fusions, folders = [], {}
    for system in systems:
        own = {}
        for name, tower in plan.towers(system.config, config, modalities).items():
            own[name] = workdir / "towers" / plan.key(name, tower)
            towers.setdefault(own[name], fitting.Job(f"tower {name}", tower, own[name]))
        if system.alone:
            folders[system.name] = list(own.values())
            continue
        whole = workdir / "systems" / system.name
        folders[system.name] = [whole, *own.values()]
        fusions.append(fitting.Job(system.title, system.config, whole, own))
    # Early towers take longest: they start first, so that no process is left with one at the end.
    ordered = sorted(towers.values(), key=lambda job: "early" not in job.config.network)
    return [*ordered, *fusions], folders


def _command() -> str:
    given = " ".join(shlex.quote(x) for x in sys.argv[1:] if not x.startswith("--workdir"))
    return f"python -m experiments.paper --workdir=DIR {given}".strip()


def main() -> None:
    """Runs the whole paper, or draws its report again."""
    workdir = pathlib.Path(_WORKDIR.value)
    with Screen() as screen:
        if _REPORT_ONLY.value:
            report.write(command.read_json(workdir / "results.json"), workdir)
            return
        if _CACHE.value:
            jax.config.update("jax_compilation_cache_dir", os.path.expanduser(_CACHE.value))
        try:
            config = _CONFIG.value.copy_and_resolve_references()
        except OSError as error:
            raise InputError("--config", str(error), "a file such as configs/mman.py") from error
        run(config, workdir, screen, _PROCESSES.value or jobs.default_processes())


if __name__ == "__main__":
    command.run(main)
