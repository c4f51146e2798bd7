"""cLSTM-MMA: the multi-modal attention tower alone (1 273 154 parameters on IEMOCAP's features).

mman run --config=configs/clstm_mma.py --workdir=runs/clstm_mma
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_mma"))
