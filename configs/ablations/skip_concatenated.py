"""MMAN with the skip connection concatenated to the attention's outputs instead of added.

mman run --config=configs/ablations/skip_concatenated.py --workdir=runs/skip_concatenated
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.network.early.attention.skip = "concatenate"
    config.name = "skip_concatenated"
    return config


get_config = mman.made_by(variant)
