"""cLSTM-Text: the text tower alone, at the sizes of the paper's uni-modal baseline.

python -m experiments.run --config=configs/clstm_text.py --workdir=runs/clstm_text
"""

from configs import mman


def system(config):
    return mman.unimodal(config, "text")


def get_config(recipe=None):
    return system(mman.recipe(recipe))
