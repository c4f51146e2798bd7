"""cLSTM-Speech: the speech tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_speech.py --workdir=runs/clstm_speech
"""

from mman_jax.configs import mman


def get_config(recipe=None):
    return mman.recipes(recipe)("clstm_speech")
