"""MMAN whose fusion learns from predictions of towers that did not see the conversation.

mman run --config=configs/ablations/out_of_fold.py --workdir=runs/out_of_fold
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.train.fusion.answers = "out_of_fold"
    config.name = "out_of_fold"
    return config


get_config = mman.made_by(variant)
