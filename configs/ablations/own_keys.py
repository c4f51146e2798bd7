"""MMAN with key and value weights of each query's own, not shared by the queries.

mman run --config=configs/ablations/own_keys.py --workdir=runs/own_keys
"""

from mman_jax.configs import mman


def system(config):
    config.system = "own_keys"
    config.network.early.attention.shared = False
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
