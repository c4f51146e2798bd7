"""MMAN: three uni-modal towers and a multi-modal attention tower, under a dense late fusion.

The sizes and the training settings are those of `mman_jax/systems/mman.py`; what a run needs
beside them is here. Every other config has a function `system` that makes this recipe, or another
one (`configs/clstm_lf.py:mosi`), into its own system.

    mman run --config=configs/mman.py --workdir=runs/mman
"""

import importlib
import runpy

import ml_collections

from mman_jax.systems.mman import clstm, network, tower, training
from mman_jax.trial.config import base


def recipe(name):
    """The recipe of a config: `mman`, or one that `mman sweep` wrote, by its name or its path."""
    if name and name.endswith(".py"):
        return runpy.run_path(name)["get_config"]()
    return importlib.import_module(f"mman_jax.configs.{name or 'mman'}").get_config()


def unimodal(config, modality):
    """Makes a recipe into one modality's cLSTM, at the sizes of the paper's uni-modal baseline."""
    config.system = f"clstm_{modality}"
    config.data.modalities = modality
    del config.network.early, config.network.fusion
    towers = unimodal_baselines(config)
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": towers.get(modality, towers["default"])}
    )
    return config


def unimodal_baselines(config):
    """A recipe's uni-modal towers as they are outside MMAN, whose visual tower alone is smaller.

    What a recipe says of a tower beside that holds here, too.
    """
    smaller = network()["unimodal"]["visual"]
    default = config.network.unimodal.default
    towers = {}
    for name, block in config.network.unimodal.to_dict().items():
        if (tuple(block["hidden"]), block["dense"]) == (smaller["hidden"], smaller["dense"]):
            block |= {"hidden": default.hidden, "dense": default.dense}
        if name == "default" or block != default.to_dict():
            towers[name] = block
    return towers


def get_config():
    config = base()
    config.system = "mman"
    config.network = ml_collections.ConfigDict(network())
    # What cLSTM-EF and cLSTM-LF have beside or in place of MMAN's: an early and a late fusion.
    config.baselines = ml_collections.ConfigDict(
        {"ef": tower((300, 300), 200), "clstm": clstm((300,), 200), "clstm_rate": 1e-3}
    )
    config.train = ml_collections.ConfigDict(training())
    return config
