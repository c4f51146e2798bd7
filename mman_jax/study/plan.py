"""Systems of the paper command, the towers that they share, and their trials."""

import dataclasses
import hashlib
import inspect
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from mman_jax.configs.ablations import (
    joint,
    no_attention,
    no_context,
    out_of_fold,
    own_keys,
    skip_concatenated,
)
from mman_jax.configs.mman import Recipes
from mman_jax.errors import InputError
from mman_jax.study.folds import fold_folders
from mman_jax.study.jobs import Job
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.citation import Citation
from mman_jax.systems.estimator import check_network
from mman_jax.systems.mman import CLSTM_MMA, NAME, modality_of, papers, single_towers
from mman_jax.tasks import Task
from mman_jax.training.programs import ANSWERS
from mman_jax.trial import baseline
from mman_jax.trial.config import change, changes, copy, derive, network
from mman_jax.trial.corpora import modalities as selected
from mman_jax.trial.trial import Trial

Folders = dict[str, list[dict[str, pathlib.Path]]]
"""For each system, the folders of its trial, then of its towers' trials, each by fold."""

PAPER, CITED, ABLATION, BASELINE = "paper", "cited", "ablation", "baseline"

_ABLATIONS = {
    "no context": (no_context, "single utterances", CLSTM_MMA),
    "no attention": (no_attention, "concatenation instead of attention", NAME),
    "own keys": (own_keys, "separate key and value weights for each query", NAME),
    "skip concatenated": (skip_concatenated, "not added", NAME),
    "joint": (joint, "towers fine-tuned with the fusion", NAME),
    "out of fold": (
        out_of_fold,
        "the fusion learns from predictions of towers for utterances that they were not trained on",
        NAME,
    ),
}


@dataclasses.dataclass(frozen=True)
class System:
    """A system of the report.

    Attributes:
        name: name of its config.
        title: title in the paper.
        group: `paper`, `cited`, `ablation` or `baseline`.
        baseline: the system that an ablation is compared with; None for other groups.
        about: one-line description.
        config: the full config.
        by_name: whether it is trained only if the user names it.
    """

    name: str
    title: str
    group: str
    baseline: str | None
    about: str
    config: ConfigDict
    by_name: bool = False

    @property
    def trained_apart(self) -> bool:
        """Whether it shares no towers with another system."""
        return self.group in (CITED, BASELINE)

    def on_data_of(self, recipe: ConfigDict) -> "System":
        """Returns the system with the fold and the protocol of another config."""
        config = copy(self.config)
        config.data.update(fold=recipe.data.fold, protocol=recipe.data.protocol)
        return dataclasses.replace(self, config=config)


def systems(recipes: Recipes, modalities: Sequence[str]) -> list[System]:
    """Returns every system of the paper on a corpus, then the ablations.

    Args:
        recipes: the config of each system of the paper by its name, with the corpus, the protocol
            and the seeds.
    """
    rows = [
        System(name, paper.title, PAPER, None, paper.about, recipes(name))
        for name, paper in papers(modalities).items()
    ]
    for title, (module, about, varied) in _ABLATIONS.items():
        config = module.variant(recipes)
        slow = module is out_of_fold  # it trains every tower three more times
        rows.append(System(config.name, title, ABLATION, varied, about, config, slow))
    for modality in modalities if len(modalities) > 2 else ():
        config = recipes(NAME)
        config.name = f"without_{modality}"
        config.data.modalities = ",".join(m for m in modalities if m != modality)
        title, about = f"without {modality}", "the other modalities"
        rows.append(System(config.name, title, ABLATION, NAME, about, config))
    return rows


def baseline_of(config: ConfigDict, trials: Sequence[Trial]) -> System:
    """Returns the linear baseline of all systems, given MMAN's config and a trial of each fold."""
    for trial in trials:
        baseline.make(trial, trial.tasks[0])
    linear = derive(config, baseline.NAME)
    return System(baseline.NAME, "linear baseline", BASELINE, None, "single utterances", linear)


def cited_systems(
    config: ConfigDict, modalities: Sequence[str], task: Task
) -> tuple[list[System], dict[str, str]]:
    """Returns the published systems, and the user's systems (see `systems.use`).

    Returns:
        The systems that can be trained, the largest first because it takes longest; and the reasons
        why the other systems cannot be trained, by name.
    """
    rows, impossible = [], {}
    for name, kind in SYSTEMS.items():
        paper = kind.paper
        if paper is None and ":" not in name:
            continue
        paper = paper or Citation(kind.__name__, (inspect.getdoc(kind) or "").partition("\n")[0])
        system_config = derive(config, name)
        try:
            kind.check_data(task.learns, system_config.data.cells)
            kind.check_installed()
            system = build(network(system_config), modalities, len(task.classes))
        except InputError as error:
            impossible[name] = str(error)
            continue
        row = System(name, paper.title, CITED, None, paper.about, system_config, paper.by_name)
        shapes = system.parameter_shapes(dict.fromkeys(modalities, 100))
        rows.append((sum(leaf.size for leaf in jax.tree.leaves(shapes)), row))
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])], impossible


def recipe_of(name: str, config: ConfigDict, recipes: Recipes) -> ConfigDict:
    """Returns the config of a system of the paper, with the changes of MMAN's config.

    Args:
        recipes: the configs without these changes.
    """
    changed = changes(recipes(NAME), config)
    settings = {k: v for k, v in changed.items() if k.startswith(("network.", "train."))}
    recipe = change(recipes(name), settings)
    for field in set(config) - {"name", "network", "train"}:
        recipe[field] = config[field]
    recipe = copy(recipe)
    recipe.data.modalities = modality_of(name) or config.data.modalities
    return recipe


def towers(system: ConfigDict, modalities: Sequence[str]) -> dict[str, ConfigDict]:
    """Returns the configs that train each tower of a system alone, by the tower's name.

    Equal towers of several systems get equal configs, and therefore the same `key`.
    """
    names = selected(system.data) or modalities
    first, *_ = _stages(system, modalities)
    configs: dict[str, ConfigDict] = {}
    for name, settings in single_towers(system.network.to_dict(), names).items():
        configs[name] = _tower(system, name, first, settings)
        if name in names:
            configs[name].data.modalities = name
    return configs


def _stages(config: ConfigDict, modalities: Sequence[str]) -> list[str]:
    """Returns the names of the stages of a config's system, which must be a network."""
    system = build(network(config), selected(config.data) or modalities, 2)
    return [stage.name for stage in check_network("a study", system).stages()]


def key(name: str, config: ConfigDict) -> str:
    """Returns a unique name of a tower and its config."""
    digest = hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:8]}"


def plan_jobs(
    systems: Sequence[System],
    configs: Mapping[str, ConfigDict],
    modalities: Sequence[str],
    workdir: pathlib.Path,
    subfolder: str = "",
) -> tuple[list[Job], Folders]:
    """Plans the trials of every fold.

    Args:
        configs: MMAN's config in each fold, by the fold's name.
        subfolder: subfolder for the trials in each fold's folder.
    """
    jobs: list[Job] = []
    folders: Folders = {}
    for fold, path in fold_folders(workdir, list(configs)).items():
        local = [system.on_data_of(configs[fold]) for system in systems]
        more, paths_by_system = _plan_fold(local, modalities, path / subfolder, fold)
        jobs += more
        for system, paths in paths_by_system.items():
            by_fold = folders.setdefault(system, [{} for _ in paths])
            for entry, folder in zip(by_fold, paths, strict=True):
                entry[fold] = folder
    return jobs, folders


def _plan_fold(
    systems: Sequence[System], modalities: Sequence[str], workdir: pathlib.Path, fold: str
) -> tuple[list[Job], dict[str, list[pathlib.Path]]]:
    """Plans the trials of a fold; returns the folders of each system and then of its towers.

    A tower that is also a system is trained once, in that system's folder.
    """
    prefix = f"{fold}: " if fold else ""
    folders = {system.name: [workdir / "systems" / system.name] for system in systems}

    def job(system: System, towers: Mapping[str, pathlib.Path] | None = None) -> Job:
        title, analyse = f"{prefix}{system.title}", system.group in (PAPER, CITED)
        return Job(title, system.config, folders[system.name][0], towers or {}, analyse)

    cited = [job(system) for system in systems if system.trained_apart]
    of_towers = [system for system in systems if not system.trained_apart]
    needed = {system.name: towers(system.config, modalities) for system in of_towers}
    stages = {system.name: _stages(system.config, modalities) for system in of_towers}
    tower_jobs: dict[str, Job] = {}
    for system in of_towers:
        if len(stages[system.name]) == 1:
            ((name, config),) = needed[system.name].items()
            tower_jobs[key(name, config)] = job(system)
    slow: list[Job] = []
    fast: list[Job] = []
    for system in of_towers:
        if len(stages[system.name]) == 1:
            continue
        trained = {}
        for name, config in needed[system.name].items():
            digest = key(name, config)
            path = workdir / "towers" / digest
            tower_jobs.setdefault(digest, Job(f"{prefix}tower {name}", config, path))
            trained[name] = tower_jobs[digest].folder
        folders[system.name] += trained.values()
        trains = _trains_towers(system.config.train, *stages[system.name])
        (slow if trains else fast).append(job(system, trained))
    # The longest jobs start first, so that the processes end at about the same time: cited systems,
    # fusions that also train towers, the towers of other fusions, and all other towers. Among
    # towers, those with attention come first.
    urgent = {folder for job in slow for folder in job.towers.values()}
    ordered = sorted(
        tower_jobs.values(),
        key=lambda job: (job.folder not in urgent, "early" not in job.config.network),
    )
    return [*cited, *slow, *ordered, *fast], folders


def _trains_towers(train: ConfigDict, first: str, *later: str) -> bool:
    """Returns whether later stages also train the towers: jointly, or again on fewer rows."""
    rules = [rule for stage in later for rule, trains in train[stage].rules if trains]
    jointly = any(rule.startswith((first, ".*")) for rule in rules)
    return jointly or any(train[stage].answers != ANSWERS[0] for stage in later)


def _tower(system: ConfigDict, tower: str, first: str, network: dict[str, Any]) -> ConfigDict:
    """Returns the config of a tower, with the settings of the first stage alone."""
    config = copy(system)
    config.name, config.network = "tower", ConfigDict(network)
    of_stages = {k for k, v in config.train.items() if isinstance(v, ConfigDict)} - {first}
    config.train = ConfigDict({k: v for k, v in config.train.items() if k not in of_stages})
    rates = config.train[first].learning_rate
    config.train[first].learning_rate = ConfigDict({"default": rates.get(tower, rates.default)})
    return config
