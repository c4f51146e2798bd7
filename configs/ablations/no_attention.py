"""MMAN with the attention replaced by concatenation: its early tower is cLSTM-EF's.

mman run --config=configs/ablations/no_attention.py --workdir=runs/no_attention
"""

from mman_jax.configs import clstm_ef, mman


def system(config):
    config.system = "no_attention"
    config.network.early = clstm_ef.concatenation(config)
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
