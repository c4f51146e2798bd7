"""cLSTM-MMA without context: each utterance is a separate conversation.

mman run --config=configs/ablations/no_context.py --workdir=runs/no_context
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("clstm_mma")
    config.network.context = False
    config.name = "no_context"
    return config


get_config = mman.made_by(variant)
