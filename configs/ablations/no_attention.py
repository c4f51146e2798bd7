"""MMAN with concatenation instead of attention: its early tower is that of cLSTM-EF.

mman run --config=configs/ablations/no_attention.py --workdir=runs/no_attention
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.network.early = recipes("clstm_ef").network.early
    config.name = "no_attention"
    return config


get_config = mman.made_by(variant)
