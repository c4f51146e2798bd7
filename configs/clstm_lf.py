"""cLSTM-LF: one tower per modality, fused by a cLSTM block (4 729 616 parameters).

mman run --config=configs/clstm_lf.py --workdir=runs/clstm_lf
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_lf"))
