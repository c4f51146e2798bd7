"""LMF: a low-rank tensor fusion of all modalities, the text read by an LSTM.

Liu et al. 2018; 58 988 parameters on IEMOCAP's features with four classes. Sizes, rates and L2 are
those of the authors' settings for IEMOCAP's "neutral"; training ends 20 epochs after the lowest
validation loss, as there. A batch is one conversation: about as many utterances as a batch of
theirs had, 16.

    mman run --config=configs/lmf.py --workdir=runs/lmf
"""

from mman_jax.configs import mman

get_config = mman.derived("lmf")
