"""cLSTM-Text: the text tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_text.py --workdir=runs/clstm_text
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_text"))
