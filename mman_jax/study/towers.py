"""What the paper command trains: its systems and ablations, and the towers that they share."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from mman_jax.configs import clstm_ef, clstm_lf, clstm_mma, mman
from mman_jax.configs.ablations import (
    joint,
    no_attention,
    no_context,
    out_of_fold,
    own_keys,
    skip_concatenated,
)
from mman_jax.systems.mman import EARLY

PAPER, CITED, ABLATION = "paper", "cited", "ablation"


@dataclasses.dataclass(frozen=True)
class System:
    """One row of the report.

    Attributes:
        name: as in its config.
        title: as the paper writes it.
        group: `paper`, `cited` or `ablation`.
        baseline: what an ablation is compared with; None for all others.
        about: one line.
        config: the whole config.
        by_name: whether it is in no study that names no systems.
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


def systems(recipe: ConfigDict, modalities: Sequence[str]) -> list[System]:
    """Every system of the paper on a corpus, then the ablations.

    Args:
        recipe: MMAN's config, with the corpus, the protocol and the seeds.
        modalities: of the corpus, in order.
    """

    def paper(title: str, about: str, change: Callable[[ConfigDict], ConfigDict]) -> System:
        config = change(recipe.copy_and_resolve_references().unlock())
        return System(config.system, title, PAPER, None, about, config)

    def ablation(
        about: str, change: Callable[[ConfigDict], ConfigDict], baseline: str = "mman"
    ) -> System:
        config = change(recipe.copy_and_resolve_references().unlock())
        title, what = about.split(": ")
        return System(config.system, title, ABLATION, baseline, what, config)

    def without(modality: str) -> Callable[[ConfigDict], ConfigDict]:
        def change(config):
            config.system = f"without_{modality}"
            config.data.modalities = ",".join(m for m in modalities if m != modality)
            return config

        return change

    found = [
        paper(f"cLSTM-{m.capitalize()}", f"{m} alone", lambda config, m=m: mman.unimodal(config, m))
        for m in modalities
    ]
    found += [
        paper("cLSTM-EF", "modalities concatenated", clstm_ef.system),
        paper("cLSTM-LF", "a tower a modality, fused by a cLSTM", clstm_lf.system),
        paper("cLSTM-MMA", "the attention tower alone", clstm_mma.system),
        paper("MMAN", "all towers, frozen under a dense fusion", lambda config: config),
        ablation("no context: single utterances", no_context.system, "clstm_mma"),
        ablation("no attention: concatenation in its place", no_attention.system),
        ablation("own keys: key and value weights of each query's own", own_keys.system),
        ablation("skip concatenated: not added", skip_concatenated.system),
        ablation("joint: towers fine-tuned with the fusion", joint.system),
    ]
    # It trains every tower three times more.
    told = "out of fold: the fusion learns from answers of towers that did not see them"
    found.append(dataclasses.replace(ablation(told, out_of_fold.system), by_name=True))
    if len(modalities) > 2:
        found += [ablation(f"without {m}: the other modalities", without(m)) for m in modalities]
    return found


def towers(
    system: ConfigDict, recipe: ConfigDict, modalities: Sequence[str]
) -> dict[str, ConfigDict]:
    """The config by which each tower of a system is trained alone, by the tower's name.

    Equal towers of several systems get equal configs, so that `key` finds them.

    Args:
        system: the whole config of a system.
        recipe: the config that it was made from.
        modalities: of the corpus, in order.
    """
    wanted = [name for name in system.data.modalities.split(",") if name] or list(modalities)
    found = {}
    for name in [*(wanted if "unimodal" in system.network else ()), _early(system)]:
        if name is None:
            continue
        config = system.copy_and_resolve_references().unlock()
        config.system = "tower"
        config.train.fusion = recipe.train.fusion.copy_and_resolve_references()
        rates = config.train.towers.learning_rate
        config.train.towers.learning_rate = ConfigDict({"default": rates.get(name, rates.default)})
        if "fusion" in config.network:
            del config.network.fusion
        if name in wanted:
            blocks = config.network.unimodal
            block = blocks.get(name, blocks.default)
            for kind in ("unimodal", "early"):
                if kind in config.network:
                    del config.network[kind]
            config.network.unimodal = ConfigDict({"default": block})
            config.data.modalities = name
        elif "unimodal" in config.network:
            del config.network.unimodal
        found[name] = config
    return found


def key(name: str, config: ConfigDict) -> str:
    """A name that tells a tower from every other one."""
    digest = hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:8]}"


def _early(system: ConfigDict) -> str | None:
    if "early" not in system.network:
        return None
    return EARLY.get(system.network.early.kind)
