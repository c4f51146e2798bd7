"""RAVEN: an LSTM over text vectors that gated speech and vision shift.

Wang et al. 2019; 968 706 parameters on IEMOCAP's features with four classes. Sizes, rates and
epochs are those of the authors' public code, but training ends 50 epochs after the best one. A
batch is one conversation, which has about as many utterances as the authors' batches of 20.

    mman run --config=configs/raven.py --workdir=runs/raven
"""

from mman_jax.configs import mman

get_config = mman.derived("raven")
