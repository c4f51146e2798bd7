"""MFM: what modalities share and what is each one's own, from which each is rebuilt.

Tsai, Liang et al. 2019; 877 684 parameters on IEMOCAP's features with four classes. Sizes, rates,
weights of the losses and epochs are those that the authors' public code has written out for MOSI;
the learning rate falls to a tenth after 10 epochs without a lower validation loss, as there. A
batch is two conversations: about as many utterances as a batch of theirs had, 32.

    mman run --config=configs/mfm.py --workdir=runs/mfm
"""

from mman_jax.configs import mman

get_config = mman.derived("mfm")
