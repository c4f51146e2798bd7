"""Tripathi and Beigi 2018: a dense layer for each modality, then concatenation; no context.

380 932 parameters on IEMOCAP's features with four classes. Learning rate and epochs are those of
the authors' public code, but the best epoch is selected on validation data. A batch is three
conversations, which have about as many utterances as the authors' batches of 64.

    mman run --config=configs/tripathi.py --workdir=runs/tripathi

With `--config.data.cells=frames` it is their full network: LSTMs over words, an attention decoder
over speech, convolutions over faces.
"""

from mman_jax.configs import mman

get_config = mman.derived("tripathi")
