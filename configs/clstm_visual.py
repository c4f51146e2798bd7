"""cLSTM-Visual: the visual tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_visual.py --workdir=runs/clstm_visual
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_visual"))
