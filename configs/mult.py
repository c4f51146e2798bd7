"""MulT: a cross-modal transformer a pair of modalities, then one a modality over what they found.

Tsai et al. 2019, the paper's "MuT"; 1 083 364 parameters on IEMOCAP's features with four classes.
Sizes, rates and epochs are those of the authors' public code; the learning rate falls to a tenth
after 20 epochs without a lower validation loss, as there. A batch is one conversation: about as
many utterances as a batch of theirs had, 24.

    mman run --config=configs/mult.py --workdir=runs/mult

With `--config.data.cells=words` it reads words, and with `frames` each modality's own frames.
"""

from mman_jax.configs import mman

get_config = mman.derived("mult")
