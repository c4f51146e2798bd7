"""Every system of the paper on one corpus: trained, compared, reported."""

import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from experiments import report
from experiments.study import fitting, summary, workers
from experiments.study import towers as plan
from experiments.terminal.screen import Screen
from experiments.trial import folder
from experiments.trial.prepared import load_corpus, prepare_experiment
from mman_jax.data import protocols
from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole

BINARY = ("clstm_mma", "mman")
"""The systems of Table 3."""


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    screen: Screen,
    processes: int = 1,
    cache: str = "",
    command: str = "",
) -> None:
    """Trains all systems and writes the report.

    Args:
        config: the recipe; every system is made from it.
        workdir: gets `report.html`, `report.md`, `results.json` and `figures`.
        screen: where progress is shown.
        processes: how many systems are trained side by side.
        cache: folder of compiled programs for these processes, or empty.
        command: how to do it again, for the report.

    Raises:
        InputError: if the config or its corpus cannot be used.
    """
    if config.distributed:
        raise InputError("config.distributed", repr(config.distributed), "one process")
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
    folder.claim(workdir, chosen, corpus)
    todo, folders = plan_jobs(systems, config, modalities, workdir)
    tasks: dict[str, list[pathlib.Path]] = {}
    if config.data.protocol == "mman4" and protocols.is_iemocap(corpus):
        binary = config.copy_and_resolve_references().unlock()
        binary.data.protocol = "binary4"
        chosen = [s for s in plan.systems(binary, modalities) if s.name in BINARY]
        more, tasks = plan_jobs(chosen, binary, modalities, workdir / "binary4")
        todo += more
    workers.run(todo, screen, processes, cache)
    found = summary.summarise(systems, folders, tasks, experiment, command)
    report.write(found, workdir)
    content = json.dumps(found, allow_nan=False) + "\n"
    write_whole(workdir / "results.json", content.encode())
    screen.line(f"{workdir / 'report.html'} is written")


def plan_jobs(
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
    # What takes longest starts first, so that no process is left with it at the end: a fusion that
    # trains its towers, too; then the towers that it waits for, attention before the others.
    long = [job for job in fusions if job.config.system == "joint"]
    rest = [job for job in fusions if job.config.system != "joint"]
    needed = {folder for job in long for folder in job.towers.values()}
    ordered = sorted(
        towers.values(),
        key=lambda job: (job.folder not in needed, "early" not in job.config.network),
    )
    return [*long, *ordered, *rest], folders
