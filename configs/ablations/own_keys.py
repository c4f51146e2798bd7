"""MMAN with separate key and value weights for each query.

mman run --config=configs/ablations/own_keys.py --workdir=runs/own_keys
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.network.early.attention.shared = False
    config.name = "own_keys"
    return config


get_config = mman.made_by(variant)
