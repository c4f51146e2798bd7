"""Study of `mman paper`: training, comparison and report of all systems on one corpus."""

import json
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from mman_jax import report
from mman_jax.configs.mman import Recipes, get_config
from mman_jax.data import label_names
from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import write_whole
from mman_jax.report import published
from mman_jax.study import folds, jobs, plan, summary
from mman_jax.systems import mman, use
from mman_jax.trial import config as configs
from mman_jax.trial import folder
from mman_jax.trial.config import copy, tasks_of, title
from mman_jax.trial.corpora import load_cells, load_corpus
from mman_jax.trial.progress import Progress
from mman_jax.trial.trial import prepare_trial


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
    baseline: bool = True,
) -> None:
    """Trains all systems and writes the report.

    Args:
        config: MMAN's config; its differences from `recipes` also apply to the other systems.
        workdir: gets `report.html`, `report.md`, `results.json`, `figures`, and the trials of all
            systems and towers: `systems/NAME` and `towers/NAME`, with folds in each `folds/FOLD`.
        progress: see `jobs.run`, also for `processes` and `cache`.
        command: command that repeats the study, for the report.
        names: systems to train; empty: all, except those that are trained only by name.
        seeds: numbers of seeds by the system's name, for systems with fewer seeds.
        recipes: the config of each system of the paper by its name.
        baseline: whether to also fit and score the linear baseline.

    Raises:
        InputError: the config, its corpus or a name cannot be used; nothing is written.
    """
    if config.distributed:
        raise InputError("config.distributed", repr(config.distributed), "one process")
    if title(config) != mman.NAME:
        expected = "the config of MMAN, such as configs/mosi.py, from which others are derived"
        raise InputError("config", f"the system {title(config)}", expected)
    configs.check(config)
    config = copy(config)
    corpus = load_corpus(config.data)
    # All of the paper's tables for its corpus, unless the user selects another protocol.
    data, is_iemocap = config.data, label_names.is_iemocap(corpus)
    has_table_3 = is_iemocap and data.protocol == "auto" and not data.target
    if has_table_3:
        data.protocol = "mman4"
    cells = load_cells(config, corpus)
    modalities = [name for name in corpus.dims if name in cells.dims]
    if card := cells.card():
        # With an explicit pivot, towers of one modality read the same words as the others.
        config.data.pivot = card["pivot"]
    for name in names:
        if ":" in name:
            use(name)
    systems = plan.systems(lambda name: plan.recipe_of(name, config, recipes), modalities)
    task = tasks_of(config, corpus)[0]
    cited, impossible = plan.cited_systems(config, modalities, task)
    for name, why in impossible.items():
        if name in names:
            raise InputError(f"systems={name}", why)
        if not names:
            progress.notice(f"{name} is left out: {why}")
    known = {system.name: system for system in (*systems, *cited)}
    for name in names:
        if name not in known:
            raise InputError("systems", f"unknown {name!r:.60}", nearest(name, known))
    systems = [s for s in known.values() if (s.name in names if names else not s.by_name)]
    _set_seeds(systems, seeds or {})
    by_fold = folds.fold_configs(config, corpus)
    trials = [prepare_trial(fold_config) for fold_config in by_fold.values()]
    if baseline:
        try:
            systems.append(plan.baseline_of(config, trials))
        except InputError as error:
            progress.notice(f"no linear baseline: {error}")
    stored_config = json.loads(config.to_json())
    folder.claim(workdir, stored_config, *trials[0].corpora)
    todo, folders = plan.plan_jobs(systems, by_fold, modalities, workdir)
    binary_folders: plan.Folders = {}
    if has_table_3:
        binary = {name: copy(fold_config) for name, fold_config in by_fold.items()}
        for fold_config in binary.values():
            fold_config.data.protocol = "binary4"
        published_so = {*published.TABLE_3, *published.TABLE_3_CITED}
        rows = [system for system in systems if system.name in published_so]
        more, binary_folders = plan.plan_jobs(rows, binary, modalities, workdir, "binary4")
        todo += more
    jobs.run(todo, progress, processes, cache)
    results = summary.summarise(systems, folders, binary_folders, trials, command)
    report.write(results, workdir)
    write_whole(workdir / "results.json", (json.dumps(results, allow_nan=False) + "\n").encode())
    for sentence in report.against_baseline(results):
        progress.line(sentence)
    progress.line(f"{workdir / 'report.html'} is written")


def _set_seeds(systems: Sequence[plan.System], seeds: Mapping[str, int]) -> None:
    """Sets the numbers of seeds of systems; an InputError if a system shares towers."""
    known = {s.name: s for s in systems if s.trained_apart}
    for name, count in seeds.items():
        if name not in known:
            raise InputError(f"seeds_of={name}", "not of a cited system", nearest(name, known))
        config = known[name].config
        if not 1 <= count <= config.seeds:
            raise InputError(f"seeds_of={name}", str(count), f"1 to {config.seeds}, of all")
        config.seeds = count
