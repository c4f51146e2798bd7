"""Tripathi and Beigi 2018: each modality through a dense layer, concatenated; no context.

380 932 parameters on IEMOCAP's features with four classes. Rate and epochs are those of the
authors' public code, but that the best epoch is chosen on validation data. A batch is three
conversations: about as many utterances as a batch of theirs had, 64.

    mman run --config=configs/tripathi.py --workdir=runs/tripathi

With `--config.data.cells=frames` it is their full network: LSTMs over words, an attention decoder
over speech, convolutions over faces.
"""

from mman_jax.configs import mman

get_config = mman.derived("tripathi")
