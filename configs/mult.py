"""MulT: a cross-modal transformer for each pair of modalities, then one for each modality.

Tsai et al. 2019, the paper's "MuT"; 1 083 364 parameters on IEMOCAP's features with four classes.
Sizes, rates and epochs are those of the authors' public code. As in their code, the learning rate
falls to a tenth after 20 epochs without a lower validation loss. A batch is one conversation, which
has about as many utterances as the authors' batches of 24.

    mman run --config=configs/mult.py --workdir=runs/mult

With `--config.data.cells=words` it reads words, and with `frames` the frames of each modality.
"""

from mman_jax.configs import mman

get_config = mman.derived("mult")
