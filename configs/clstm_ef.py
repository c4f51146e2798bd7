"""cLSTM-EF: the modalities concatenated (2 000 204 parameters on IEMOCAP's features).

mman run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

import ml_collections

from mman_jax.configs import mman


def concatenation(config):
    """The tower of all modalities, concatenated."""
    return ml_collections.ConfigDict(config.baselines.ef.to_dict() | {"kind": "concatenation"})


def system(config):
    config.system = "clstm_ef"
    del config.network.unimodal, config.network.fusion
    config.network.early = concatenation(config)
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
