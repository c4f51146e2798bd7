"""cLSTM-Speech: the speech tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_speech.py --workdir=runs/clstm_speech
"""

from mman_jax.configs import mman


def system(config):
    return mman.unimodal(config, "speech")


def get_config(recipe=None):
    return system(mman.recipe(recipe))
