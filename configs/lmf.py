"""LMF: a low-rank tensor fusion of all modalities, with an LSTM that reads the text.

Liu et al. 2018; 58 988 parameters on IEMOCAP's features with four classes. Sizes, rates and L2 are
those of the authors' settings for IEMOCAP's "neutral"; as in their code, training ends 20 epochs
after the lowest validation loss. A batch is one conversation, which has about as many utterances as
the authors' batches of 16.

    mman run --config=configs/lmf.py --workdir=runs/lmf
"""

from mman_jax.configs import mman

get_config = mman.derived("lmf")
