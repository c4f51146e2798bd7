"""MMAN whose fusion learns from answers of towers that did not see the conversation.

mman run --config=configs/ablations/out_of_fold.py --workdir=runs/out_of_fold
"""

from mman_jax.configs import mman


def system(config):
    config.system = "out_of_fold"
    config.train.fusion.answers = "out_of_fold"
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
