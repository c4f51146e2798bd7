"""FMT: layers of attention within every set of modalities, then a GRU.

Zadeh et al. 2019; 21 518 656 parameters on IEMOCAP's features with four classes. Sizes, learning
rate and Adam's constants are those of the authors' public code for IEMOCAP, but nothing is selected
on test data, and training ends 30 epochs after the best one. A batch is one conversation, which has
about as many utterances as the authors' batches of 20. An epoch of CMU-MOSI takes about 20 seconds
of CPU time.

    mman run --config=configs/fmt.py --workdir=runs/fmt
"""

from mman_jax.configs import mman

get_config = mman.derived("fmt")
