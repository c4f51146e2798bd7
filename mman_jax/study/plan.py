"""Systems of the paper command, the towers that they share, and their trials."""

import dataclasses
import hashlib
import inspect
import pathlib
import re
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
from mman_jax.systems.base import BaseSystem, Citation
from mman_jax.systems.estimator import check_network
from mman_jax.systems.mman import CLSTM_MMA, EARLY, NAME, modality_of, papers
from mman_jax.training.programs import ANSWERS
from mman_jax.trial import baseline
from mman_jax.trial.config import change, changes, copy, derive, network
from mman_jax.trial.trial import Trial

Folders = dict[str, list[dict[str, pathlib.Path]]]
"""For each system the folders of its trial, then of each tower's, by the fold's name."""

PAPER, CITED, ABLATION, BASELINE = "paper", "cited", "ablation", "baseline"

_ABLATIONS = {
    "no context": (no_context, "single utterances", CLSTM_MMA),
    "no attention": (no_attention, "concatenation in its place", NAME),
    "own keys": (own_keys, "separate key and value weights for each query", NAME),
    "skip concatenated": (skip_concatenated, "not added", NAME),
    "joint": (joint, "towers fine-tuned with the fusion", NAME),
    "out of fold": (
        out_of_fold,
        "the fusion learns from predictions of towers that did not see them",
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
        modalities: modalities of the corpus, in order.
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
    """Returns the linear baseline of all systems.

    Args:
        config: MMAN's config, with the corpus and the protocol.
        trials: a trial of all modalities in each fold.

    Raises:
        InputError: it cannot be fitted, see `baseline.make`.
    """
    for trial in trials:
        baseline.make(trial, trial.tasks[0])
    linear = derive(config, baseline.NAME)
    return System(baseline.NAME, "linear baseline", BASELINE, None, "single utterances", linear)


def cited_systems(
    config: ConfigDict, modalities: Sequence[str], classes: int
) -> tuple[list[System], dict[str, str]]:
    """Returns the published systems, and the user's systems (see `systems.use`).

    Args:
        config: MMAN's config, with the corpus, the protocol and the seeds.
        modalities: modalities of the corpus, in order.
        classes: C.

    Returns:
        The systems that can be trained, the largest first because it takes longest; and by the
        names of the other systems, the reason why they cannot be trained.
    """
    rows, impossible = [], {}
    for name, kind in SYSTEMS.items():
        paper = kind.paper
        if paper is None and ":" not in name:
            continue
        paper = paper or Citation(kind.__name__, (inspect.getdoc(kind) or "").partition("\n")[0])
        system_config = derive(config, name)
        try:
            system = build(network(system_config), modalities, classes)
            system.check_data(_labels(system_config), system_config.data.cells)
            system.check_installed()
        except InputError as error:
            impossible[name] = str(error)
            continue
        row = System(name, paper.title, CITED, None, paper.about, system_config, paper.by_name)
        rows.append((_size(system, modalities), row))
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])], impossible


def one_against_rest() -> set[str]:
    """Returns the systems that were published with one-vs-rest tasks."""
    return {
        name for name, kind in SYSTEMS.items() if kind.paper and "binary4" in kind.paper.published
    }


def recipe_of(name: str, config: ConfigDict, recipes: Recipes) -> ConfigDict:
    """Returns the config of a system of the paper, with the changes of MMAN's config.

    Args:
        name: name of the system.
        config: MMAN's config.
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

    Equal towers of several systems get equal configs, and so the same `key`.

    Args:
        system: the config of the full system.
        modalities: modalities of the corpus, in order.
    """
    names, network = _modalities(system, modalities), system.network
    configs: dict[str, ConfigDict] = {}
    shared = {name: network[name] for name in ("context", "modality_dropout")}
    for name in names if "unimodal" in network else ():
        block = network.unimodal.get(name, network.unimodal.default)
        configs[name] = _tower(system, name, shared | {"unimodal": {"default": block.to_dict()}})
        configs[name].data.modalities = name
    early = EARLY.get(network.early.kind) if "early" in network else None
    if early is not None:
        configs[early] = _tower(system, early, shared | {"early": network.early.to_dict()})
    return configs


def _modalities(config: ConfigDict, modalities: Sequence[str]) -> list[str]:
    """Returns the modalities that a config selects."""
    return [name for name in config.data.modalities.split(",") if name] or list(modalities)


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
        systems: systems to train.
        configs: MMAN's config in each fold, by the fold's name.
        modalities: modalities of the corpus, in order.
        workdir: folder of the study.
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

    A tower that is also a system of its own is trained once, in that system's folder.
    """
    prefix = f"{fold}: " if fold else ""
    folders = {system.name: [workdir / "systems" / system.name] for system in systems}

    def job(system: System, towers: Mapping[str, pathlib.Path] | None = None) -> Job:
        title, analyse = f"{prefix}{system.title}", system.group == PAPER
        return Job(title, system.config, folders[system.name][0], towers or {}, analyse)

    cited = [job(system) for system in systems if system.trained_apart]
    of_towers = [system for system in systems if not system.trained_apart]
    needed = {system.name: towers(system.config, modalities) for system in of_towers}
    tower_jobs: dict[str, Job] = {}
    staged = []
    for system in of_towers:
        names = _modalities(system.config, modalities)
        built = check_network("a study", build(network(system.config), names, 2))
        if len(built.stages()) > 1:
            staged.append(system)
            continue
        ((name, config),) = needed[system.name].items()
        tower_jobs[key(name, config)] = job(system)
    fusions = []
    for system in staged:
        trained = {}
        for name, config in needed[system.name].items():
            digest = key(name, config)
            path = workdir / "towers" / digest
            tower_jobs.setdefault(digest, Job(f"{prefix}tower {name}", config, path))
            trained[name] = tower_jobs[digest].folder
        folders[system.name] += trained.values()
        fusions.append(job(system, trained))
    # The longest jobs start first, so that the processes end at about the same time: cited systems
    # in their order, fusions that also train towers, then the towers that these wait for, with
    # attention before the others.
    slow = [job for job in fusions if _trains_towers(job.config)]
    fast = [job for job in fusions if not _trains_towers(job.config)]
    urgent = {folder for job in slow for folder in job.towers.values()}
    ordered = sorted(
        tower_jobs.values(),
        key=lambda job: (job.folder not in urgent, "early" not in job.config.network),
    )
    return [*cited, *slow, *ordered, *fast], folders


def _trains_towers(config: ConfigDict) -> bool:
    """Returns whether the fusion's stage also trains towers: jointly, or again on fewer rows."""
    fusion = config.train.fusion
    trained = any(trains and re.match(r"towers|\.\*", rule) for rule, trains in fusion.rules)
    return trained or fusion.answers != ANSWERS[0]


def _tower(system: ConfigDict, tower: str, network: dict[str, Any]) -> ConfigDict:
    config = copy(system)
    config.name, config.network = "tower", ConfigDict(network)
    config.train = ConfigDict({k: v for k, v in config.train.items() if k != "fusion"})
    rates = config.train.towers.learning_rate
    config.train.towers.learning_rate = ConfigDict({"default": rates.get(tower, rates.default)})
    return config


def _labels(config: ConfigDict) -> str:
    """Returns the kind of labels that a config trains on, see `BaseSystem.label_kinds`."""
    if config.data.target and not config.data.classes:
        return "numbers"
    return "votes" if config.train.labels == "votes" else "classes"


def _size(system: BaseSystem, modalities: Sequence[str]) -> int:
    """Returns the number of parameters with 100 features per modality; 0 without a network."""
    shapes = system.parameter_shapes(dict.fromkeys(modalities, 100))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
