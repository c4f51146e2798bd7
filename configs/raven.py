"""RAVEN: the text's vectors, shifted by gated speech and vision, under an LSTM.

Wang et al. 2019; 968 706 parameters on IEMOCAP's features with four classes. Sizes, rates and
epochs are those of the authors' public code, but that training ends 50 epochs after the best one.
A batch is one conversation: about as many utterances as a batch of theirs had, 20.

    mman run --config=configs/raven.py --workdir=runs/raven
"""

from mman_jax.configs import mman

get_config = mman.derived("raven")
