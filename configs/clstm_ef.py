"""cLSTM-EF: one tower on concatenated modalities (2 000 204 parameters on IEMOCAP's features).

mman run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_ef"))
