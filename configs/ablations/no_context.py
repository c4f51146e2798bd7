"""cLSTM-MMA without context: a conversation is cut into single utterances.

mman run --config=configs/ablations/no_context.py --workdir=runs/no_context
"""

from mman_jax.configs import clstm_mma, mman


def system(config):
    config = clstm_mma.system(config)
    config.system = "no_context"
    config.network.context = False
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
