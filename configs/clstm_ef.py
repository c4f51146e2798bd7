"""cLSTM-EF: the modalities concatenated (2 000 204 parameters on IEMOCAP's features).

mman run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

from mman_jax.configs import mman


def get_config(recipe=None):
    return mman.recipes(recipe)("clstm_ef")
