"""cLSTM-Visual: the visual tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_visual.py --workdir=runs/clstm_visual
"""

from mman_jax.configs import mman


def system(config):
    return mman.unimodal(config, "visual")


def get_config(recipe=None):
    return system(mman.recipe(recipe))
