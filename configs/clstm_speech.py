"""cLSTM-Speech: the speech tower alone, at the sizes of the paper's uni-modal baseline.

mman run --config=configs/clstm_speech.py --workdir=runs/clstm_speech
"""

from mman_jax.configs import mman

get_config = mman.made_by(lambda recipes: recipes("clstm_speech"))
