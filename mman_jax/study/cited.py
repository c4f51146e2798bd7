"""Published systems, as the paper command trains them beside the paper's own."""

import inspect
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from mman_jax.errors import InputError
from mman_jax.study.towers import CITED, System
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.base import BaseSystem, Citation
from mman_jax.trial.config import derive, network


def systems(
    recipe: ConfigDict, modalities: Sequence[str], classes: int
) -> tuple[list[System], dict[str, str]]:
    """Returns every published system, and every one of a user's own that is in use (see
    `systems.use`), that can be trained here; and why the others cannot.

    Args:
        recipe: MMAN's config, with the corpus, the protocol and the seeds.
        modalities: of the corpus, in order.
        classes: C.

    Returns:
        The systems, the largest first: it takes longest. And reasons by name.
    """
    found, others = [], {}
    for name, kind in SYSTEMS.items():
        paper = kind.paper
        if paper is None and ":" not in name:
            continue
        paper = paper or Citation(kind.__name__, (inspect.getdoc(kind) or "").partition("\n")[0])
        config = derive(recipe, name)
        try:
            system = build(network(config), modalities, classes)
            system.check_data(_labels(config), config.data.cells)
            system.check_installed()
        except InputError as error:
            others[name] = str(error)
            continue
        row = System(name, paper.title, CITED, None, paper.about, config)
        found.append((_size(system, modalities), row))
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])], others


def binary() -> set[str]:
    """Returns the systems whose publications tell each class from the rest."""
    return {
        name for name, kind in SYSTEMS.items() if kind.paper and "binary4" in kind.paper.published
    }


def _labels(config: ConfigDict) -> str:
    if config.data.target and not config.data.classes:
        return "numbers"
    return "votes" if config.train.labels == "votes" else "classes"


def _size(system: BaseSystem, modalities: Sequence[str]) -> int:
    """Parameters of a network, at sizes that do for a comparison; 0 of what is no network."""
    shapes = system.parameter_shapes(dict.fromkeys(modalities, 100))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
