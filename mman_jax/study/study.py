"""Every system of the paper on one corpus: trained, compared, reported."""

import json
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from mman_jax import report
from mman_jax.configs.mman import Recipes, get_config
from mman_jax.data import protocols
from mman_jax.data.cells.words import default_pivot
from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import write_whole
from mman_jax.report import published
from mman_jax.study import cited, folds, jobs, summary, workers
from mman_jax.study import towers as plan
from mman_jax.systems import mman, use
from mman_jax.trial import folder
from mman_jax.trial import tasks as learnt
from mman_jax.trial.config import title
from mman_jax.trial.prepared import prepare_experiment
from mman_jax.trial.progress import Progress
from mman_jax.trial.tested import load_corpus

Folders = dict[str, list[dict[str, pathlib.Path]]]
"""By system its own trial, then its towers': the folder in each fold."""


def run(
    config: ConfigDict,
    workdir: pathlib.Path,
    progress: Progress,
    processes: int = 1,
    cache: str = "",
    command: str = "",
    names: Sequence[str] = (),
    seeds: Mapping[str, int] | None = None,
    recipes: Recipes = get_config,
) -> None:
    """Trains all systems and writes the report.

    Args:
        config: MMAN's; what it changes of `recipes` is changed in every system that has it.
        workdir: gets `report.html`, `report.md`, `results.json`, `figures`, and a trial's folder of
            every system and tower: `systems/NAME`, `towers/NAME`, of folds in `folds/FOLD` each.
        progress: where progress is shown.
        processes: how many of these trials run side by side.
        cache: folder of compiled programs for these processes, or empty.
        command: how to do it again, for the report.
        names: of the systems to train; none: all that can be, and need no name.
        seeds: how many of the seeds a system by its name has, where it has fewer than all.
        recipes: the config of each system of the paper by its name.

    Raises:
        InputError: if the config, its corpus or a name cannot be used; nothing is written then.
    """
    if config.distributed:
        raise InputError("config.distributed", repr(config.distributed), "one process")
    if title(config) != mman.NAME:
        expected = "the config of MMAN, such as configs/mosi.py, from which the others are made"
        raise InputError("config", f"the system {title(config)}", expected)
    if any(workdir.glob("towers/*/fitted.json")):
        found = "holds a study of an earlier version of mman_jax"
        raise InputError(workdir, found, "an empty folder (its report.html stays readable)")
    config = config.copy_and_resolve_references().unlock()
    corpus = load_corpus(config.data)
    labels = not config.data.target
    if labels and config.data.protocol == "auto" and protocols.is_iemocap(corpus):
        config.data.protocol = "mman4"  # the paper's four classes
    modalities = list(corpus.dims)
    if config.data.cells == "words":
        # Said, so that a tower of one modality reads the words that the others read.
        config.data.pivot = config.data.pivot or default_pivot(corpus)
        modalities = [name for name in modalities if name in corpus.sequences]
    for name in names:
        if ":" in name:
            use(name)
    every = plan.systems(lambda name: plan.recipe_of(name, config, recipes), modalities)
    task = learnt.of_config(config, corpus)[0]
    more, impossible = cited.systems(config, modalities, len(task.classes))
    for name, why in impossible.items():
        if name in names:
            raise InputError(f"systems={name}", why)
        if not names:
            progress.notice(f"{name} is left out: {why}")
    every += more
    systems = with_seeds(choose(every, names), seeds or {})
    each = folds.configs(config, corpus)
    experiments = []
    for one in each.values():
        own = config.copy_and_resolve_references().unlock()
        own.data.fold = one.data.fold
        experiments.append(prepare_experiment(own))
    chosen = json.loads(config.to_json())
    folder.holds(workdir, chosen)
    tested = experiments[0].tested
    folder.claim(workdir, chosen, corpus, test=tested.corpus if tested else None)
    todo, folders = plan_jobs(systems, each, modalities, workdir)
    tasks: Folders = {}
    if config.data.protocol == "mman4" and protocols.is_iemocap(corpus):
        binary = {name: one.copy_and_resolve_references().unlock() for name, one in each.items()}
        for one in binary.values():
            one.data.protocol = "binary4"
        told_apart = cited.binary() | set(published.TABLE_3)
        rows = [system for system in systems if system.name in told_apart]
        more, tasks = plan_jobs(rows, binary, modalities, workdir, "binary4")
        todo += more
    workers.run(todo, progress, processes, cache)
    found = summary.summarise(systems, folders, tasks, experiments, command)
    report.write(found, workdir)
    content = json.dumps(found, allow_nan=False) + "\n"
    write_whole(workdir / "results.json", content.encode())
    progress.line(f"{workdir / 'report.html'} is written")


def choose(systems: Sequence[plan.System], names: Sequence[str]) -> list[plan.System]:
    """The systems of these names, in their own order; where none is named, all that need no name.

    Raises:
        InputError: an unknown name.
    """
    known = {system.name: system for system in systems}
    for name in names:
        if name not in known:
            raise InputError("systems", f"unknown {name!r:.60}", nearest(name, known))
    return [s for s in systems if (s.name in names if names else not s.by_name)]


def with_seeds(systems: Sequence[plan.System], seeds: Mapping[str, int]) -> list[plan.System]:
    """The same systems, some with fewer seeds.

    Args:
        systems: with all seeds.
        seeds: how many of these, by name of a system that shares no tower.

    Raises:
        InputError: another system, or another number.
    """
    known = {s.name: s for s in systems if s.trained_apart}
    for name, count in seeds.items():
        if name not in known:
            raise InputError(f"seeds_of={name}", "not of a cited system", nearest(name, known))
        own = known[name].config
        if not 1 <= count <= own.seeds:
            raise InputError(f"seeds_of={name}", str(count), f"1 to {own.seeds}, of all")
        own.seeds = count
    return list(systems)


def plan_jobs(
    systems: Sequence[plan.System],
    each: Mapping[str, ConfigDict],
    modalities: Sequence[str],
    workdir: pathlib.Path,
    inside: str = "",
) -> tuple[list[jobs.Job], Folders]:
    """What to train in every fold; and for each system its own trial and then its towers'.

    Args:
        systems: of `towers.systems`.
        each: the recipe in each fold, by the fold's name.
        modalities: of the corpus, in order.
        workdir: of the study.
        inside: a folder within each fold's.
    """
    todo: list[jobs.Job] = []
    folders: Folders = {}
    for name, place in folds.places(workdir, list(each)).items():
        recipe = each[name]
        own = [system.of_recipe(recipe) for system in systems]
        more, found = jobs.plan(own, modalities, place / inside, name)
        todo += more
        for system, paths in found.items():
            of = folders.setdefault(system, [{} for _ in paths])
            for by_fold, path in zip(of, paths, strict=True):
                by_fold[name] = path
    return todo, folders
