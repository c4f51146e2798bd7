"""MMAN: three uni-modal towers, a multi-modal attention tower and a dense late fusion.

The sizes and the training settings come from `mman_jax/systems/mman.py`, which has a recipe for
each system of the paper: `--config=mman:clstm_mma` is the recipe of `configs/clstm_mma.py`.

    mman run --config=configs/mman.py --workdir=runs/mman
"""

import importlib
import runpy
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from mman_jax.systems import mman
from mman_jax.trial import config

Recipes = Callable[[str], ConfigDict]


def get_config(name: str = mman.NAME) -> ConfigDict:
    """Returns the config of a system of the paper, by its name in `mman_jax.systems.mman`."""
    recipe = config.of(mman.NAME, name)
    recipe.data.modalities = mman.modality_of(name)
    return recipe


def made_by(make: Callable[[Recipes], ConfigDict]) -> Callable[..., ConfigDict]:
    """Returns a `get_config` that derives its config from those of the paper's systems.

    Its argument names the file with these configs: a file of this folder, such as `mosi`, or a
    path, such as the output of `mman sweep`; by default, this file.
    """

    def get_config(recipe: str = "") -> ConfigDict:
        if recipe.endswith(".py"):
            return make(runpy.run_path(recipe)["get_config"])
        return make(importlib.import_module(f"mman_jax.configs.{recipe or mman.NAME}").get_config)

    return get_config


def derived(system: str) -> Callable[..., ConfigDict]:
    """Returns the `get_config` of another system, with MMAN's settings of data and training."""
    return made_by(lambda recipes: config.derive(recipes(mman.NAME), system))


def tuned(name: str, fields: Mapping[str, Any]) -> ConfigDict:
    """Returns the config of a system of the paper with other values of its settings.

    Args:
        name: name of the system.
        fields: values by path; settings that the system lacks are ignored.
    """
    return config.change(get_config(name), fields)
