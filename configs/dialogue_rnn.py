"""DialogueRNN: states of the conversation and of each speaker, read forwards (causal).

Majumder et al. 2019; 6 311 304 parameters on IEMOCAP's features with four classes. Sizes and rates
are those of the authors' public code for IEMOCAP, whose published form also reads backwards
(`configs/dialogue_rnn_bi.py`).

    mman run --config=configs/dialogue_rnn.py --workdir=runs/dialogue_rnn
"""

from mman_jax.configs import mman

get_config = mman.derived("dialogue_rnn")
