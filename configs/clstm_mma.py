"""cLSTM-MMA: the multi-modal attention tower alone (1 273 154 parameters on IEMOCAP's features).

mman run --config=configs/clstm_mma.py --workdir=runs/clstm_mma
"""

from mman_jax.configs import mman


def get_config(recipe=None):
    return mman.recipes(recipe)("clstm_mma")
