"""MMAN: three uni-modal towers and a multi-modal attention tower, under a dense late fusion.

The sizes and the training settings are those of `mman_jax/systems/mman.py`; what a run needs
beside them is here. Every other config has a function `system` that makes this recipe, or another
one (`configs/clstm_lf.py:mosi`), into its own system.

    python -m experiments.run --config=configs/mman.py --workdir=runs/mman
"""

import importlib

import ml_collections
from ml_collections.config_dict import placeholder

from mman_jax.systems.mman import network, training


def recipe(name):
    """The recipe of a config by its name: `mman`, or one that `experiments.sweep` wrote."""
    return importlib.import_module(f"configs.{name or 'mman'}").get_config()


def unimodal(config, modality):
    """Makes a recipe into one modality's cLSTM, at the sizes of the paper's uni-modal baseline."""
    config.system = f"clstm_{modality}"
    config.data.modalities = modality
    del config.network.early, config.network.fusion
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": config.network.unimodal.default}
    )
    return config


def get_config():
    config = ml_collections.ConfigDict()
    config.system = "mman"
    config.seeds = 1
    config.first_seed = 0
    config.checkpoint_seconds = 60.0  # at most so much work is done again after an interruption
    config.parallel = "jit"
    # Devices over which seeds and the rows of a batch are spread; 0 chooses, seeds first.
    config.mesh = ml_collections.ConfigDict({"seeds": 0, "rows": 0})
    # One process; `auto` for as many as a TPU pod slice or Slurm starts; ADDRESS:PORT,PROCESSES,ID.
    config.distributed = ""

    config.data = ml_collections.ConfigDict()
    config.data.path = placeholder(str)  # none: the built-in synthetic corpus
    config.data.protocol = "auto"
    config.data.split = ""  # none: the corpus's own; raven: IEMOCAP's sessions 3-5, 2 and 1
    config.data.folds = ""  # sessions, speakers or a number: each such group is the test part once
    config.data.fold = ""  # one of these folds by its name
    config.data.modalities = ""  # comma-separated names; none: all
    config.data.stream = placeholder(bool)  # none: where rows would take over half of a device

    config.network = ml_collections.ConfigDict(network())
    config.train = ml_collections.ConfigDict(training())
    return config
