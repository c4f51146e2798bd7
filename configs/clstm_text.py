"""cLSTM-Text: the text tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_text.py --workdir=runs/clstm_text
"""

from mman_jax.configs import mman


def get_config(recipe=None):
    return mman.recipes(recipe)("clstm_text")
