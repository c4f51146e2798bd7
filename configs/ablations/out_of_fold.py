"""MMAN whose fusion learns from out-of-fold predictions of the towers.

mman run --config=configs/ablations/out_of_fold.py --workdir=runs/out_of_fold
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.train.fusion.answers = "out_of_fold"
    config.name = "out_of_fold"
    return config


get_config = mman.made_by(variant)
