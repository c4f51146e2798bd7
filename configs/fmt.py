"""FMT: attention within every set of modalities, layer by layer, then a GRU.

Zadeh et al. 2019; 21 518 656 parameters on IEMOCAP's features with four classes. Sizes,
rate and Adam's numbers are those of the authors' public code for IEMOCAP, but that nothing is
chosen on test data and training ends 30 epochs after the best one. A batch is one conversation:
about as many utterances as a batch of theirs had, 20. An epoch of CMU-MOSI takes some 20
seconds of CPU time.

    mman run --config=configs/fmt.py --workdir=runs/fmt
"""

from mman_jax.configs import mman

get_config = mman.derived("fmt")
