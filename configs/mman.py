"""MMAN: three uni-modal towers and a multi-modal attention tower, under a dense late fusion.

The sizes and the training settings are those of `mman_jax/systems/mman.py`, which has a recipe for
each system of the paper: `--config=mman:clstm_mma` is that of `configs/clstm_mma.py`.

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
    made = config.of(mman.NAME, name)
    made.data.modalities = mman.modality_of(name)
    return made


def recipes(file: str | None = None) -> Recipes:
    """Returns `get_config`, or that of another file which has one for each system of the paper.

    Args:
        file: a config of this folder, such as `mosi`, or a path, such as `mman sweep` wrote.
    """
    if file and file.endswith(".py"):
        return runpy.run_path(file)["get_config"]
    return importlib.import_module(f"mman_jax.configs.{file or mman.NAME}").get_config


def tuned(name: str, fields: Mapping[str, Any]) -> ConfigDict:
    """Returns the config of a system of the paper with other values, of the settings that it has.

    Args:
        name: of the system.
        fields: values by path.
    """
    return config.change(get_config(name), fields)
