"""cLSTM-MMA: the multi-modal attention tower alone (1 273 154 parameters on IEMOCAP's features).

mman run --config=configs/clstm_mma.py --workdir=runs/clstm_mma
"""

from mman_jax.configs import mman


def system(config):
    config.system = "clstm_mma"
    del config.network.unimodal, config.network.fusion
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
