"""DialogueRNN as published: two directions, and attention over the whole conversation.

Majumder et al. 2019; 13 163 204 parameters on IEMOCAP's features with four classes. Training
follows the authors' public code, except that the best epoch is selected on validation data.

    mman run --config=configs/dialogue_rnn_bi.py --workdir=runs/dialogue_rnn_bi
"""

from mman_jax.configs import mman

get_config = mman.derived("dialogue_rnn_bi")
