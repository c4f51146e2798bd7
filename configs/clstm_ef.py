"""cLSTM-EF: the modalities concatenated (2 000 204 parameters on IEMOCAP's features).

python -m experiments.run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

import ml_collections

from configs import mman
from mman_jax.systems.mman import tower


def concatenation():
    """The tower of all modalities, concatenated."""
    return tower((300, 300), 200) | {"kind": "concatenation"}


def system(config):
    config.system = "clstm_ef"
    del config.network.unimodal, config.network.fusion
    config.network.early = ml_collections.ConfigDict(concatenation())
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
