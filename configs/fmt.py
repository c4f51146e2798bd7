"""FMT: attention within every set of modalities, layer by layer, then a GRU.

Zadeh et al. 2019; 21 518 656 parameters on IEMOCAP's features with four classes. Sizes,
rate and Adam's numbers are those of the authors' public code for IEMOCAP, but that nothing is
chosen on test data and training ends 30 epochs after the best one. A batch is one conversation:
about as many utterances as a batch of theirs had, 20. An epoch of CMU-MOSI takes some 20
seconds of CPU time.

    mman run --config=configs/fmt.py --workdir=runs/fmt
"""

from mman_jax.configs import mman


def system(config):
    return mman.of_one_stage(config, "fmt", batch=1, epochs=300, patience=30, b2=0.98, eps=1e-9)


def get_config(recipe=None):
    return system(mman.recipe(recipe))
