"""MFM: shared and modality-specific factors, from which each modality is reconstructed.

Tsai, Liang et al. 2019; 877 684 parameters on IEMOCAP's features with four classes. Sizes, rates,
weights of the losses and epochs are the constants of the authors' public code for MOSI. As in their
code, the learning rate falls to a tenth after 10 epochs without a lower validation loss. A batch is
two conversations, which have about as many utterances as the authors' batches of 32.

    mman run --config=configs/mfm.py --workdir=runs/mfm
"""

from mman_jax.configs import mman

get_config = mman.derived("mfm")
