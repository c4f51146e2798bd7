"""MMAN with the skip connection concatenated to the attention's outputs, not added.

mman run --config=configs/ablations/skip_concatenated.py --workdir=DIR
"""

from mman_jax.configs import mman


def system(config):
    config.system = "skip_concatenated"
    config.network.early.attention.skip = "concatenate"
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
