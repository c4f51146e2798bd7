"""Trials of the paper command: its systems and ablations, and the towers that they share."""

import dataclasses
import hashlib
from collections.abc import Sequence

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
from mman_jax.systems.mman import CLSTM_MMA, EARLY, NAME, modality_of, papers
from mman_jax.trial.config import change, changes

PAPER, CITED, ABLATION = "paper", "cited", "ablation"

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
    """One row of the report.

    Attributes:
        name: that of its config.
        title: as the paper writes it.
        group: `paper`, `cited` or `ablation`.
        baseline: the system that an ablation is compared with; None for all others.
        about: one line.
        config: the whole config.
        by_name: whether it is trained only if it is asked for by name.
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
        """Whether nothing of it is shared: no cited system has towers that another one has."""
        return self.group == CITED

    @property
    def alone(self) -> bool:
        """Whether one tower is the whole system."""
        return "fusion" not in self.config.network

    def of_recipe(self, recipe: ConfigDict) -> "System":
        """The same with the corpus's fold and the protocol of another recipe."""
        config = self.config.copy_and_resolve_references().unlock()
        config.data.update(fold=recipe.data.fold, protocol=recipe.data.protocol)
        return dataclasses.replace(self, config=config)


def systems(recipes: Recipes, modalities: Sequence[str]) -> list[System]:
    """Returns every system of the paper on a corpus, then the ablations.

    Args:
        recipes: the config of each system of the paper by its name, with the corpus, the protocol
            and the seeds.
        modalities: of the corpus, in order.
    """
    rows = [
        System(name, paper.title, PAPER, None, paper.about, recipes(name))
        for name, paper in papers(modalities).items()
    ]
    for title, (module, about, baseline) in _ABLATIONS.items():
        config = module.variant(recipes)
        # Out of fold trains every tower three times more.
        slow = module is out_of_fold
        rows.append(System(config.name, title, ABLATION, baseline, about, config, slow))
    for modality in modalities if len(modalities) > 2 else ():
        config = recipes(NAME)
        config.name = f"without_{modality}"
        config.data.modalities = ",".join(m for m in modalities if m != modality)
        title, about = f"without {modality}", "the other modalities"
        rows.append(System(config.name, title, ABLATION, NAME, about, config))
    return rows


def recipe_of(name: str, config: ConfigDict, recipes: Recipes) -> ConfigDict:
    """Returns the config of a system of the paper with what MMAN's config changes.

    Args:
        name: of the system.
        config: MMAN's.
        recipes: the configs before these changes.
    """
    changed = changes(recipes(NAME), config)
    settings = {k: v for k, v in changed.items() if k.startswith(("network.", "train."))}
    recipe = change(recipes(name), settings)
    for field in set(config) - {"name", "network", "train"}:
        recipe[field] = config[field]
    recipe = recipe.copy_and_resolve_references().unlock()
    recipe.data.modalities = modality_of(name) or config.data.modalities
    return recipe


def towers(system: ConfigDict, modalities: Sequence[str]) -> dict[str, ConfigDict]:
    """Returns the config by which each tower of a system is trained alone, by the tower's name.

    Equal towers of several systems get equal configs, so that `key` finds them.

    Args:
        system: the whole config of a system.
        modalities: of the corpus, in order.
    """
    wanted = [name for name in system.data.modalities.split(",") if name] or list(modalities)
    network, found = system.network, {}
    shared = {name: network[name] for name in ("context", "modality_dropout")}
    for name in wanted if "unimodal" in network else ():
        block = network.unimodal.get(name, network.unimodal.default)
        found[name] = _alone(system, name, shared | {"unimodal": {"default": block.to_dict()}})
        found[name].data.modalities = name
    if "early" in network:
        name = EARLY.get(network.early.kind)
        if name is not None:
            found[name] = _alone(system, name, shared | {"early": network.early.to_dict()})
    return found


def _alone(system: ConfigDict, tower: str, network: dict) -> ConfigDict:
    config = system.copy_and_resolve_references().unlock()
    config.name, config.network = "tower", ConfigDict(network)
    config.train = ConfigDict({k: v for k, v in config.train.items() if k != "fusion"})
    rates = config.train.towers.learning_rate
    config.train.towers.learning_rate = ConfigDict({"default": rates.get(tower, rates.default)})
    return config


def key(name: str, config: ConfigDict) -> str:
    """A name that tells a tower from every other one."""
    digest = hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:8]}"
