"""MulT: a cross-modal transformer a pair of modalities, then one a modality over what they found.

Tsai et al. 2019, the paper's "MuT"; 1 083 364 parameters on IEMOCAP's features with four classes.
Sizes, rates and epochs are those of the authors' public code, but that the learning rate stays as
it is. A batch is one conversation: about as many utterances as a batch of theirs had, 24.

    python -m experiments.run --config=configs/mult.py --workdir=runs/mult
"""

import ml_collections

from configs import mman
from mman_jax.systems.mult import MulT


def system(config):
    config.system = "mult"
    config.network = ml_collections.ConfigDict({"system": "mult"} | MulT.defaults())
    config.train.batch = 1
    del config.train.towers, config.train.fusion
    config.train.all = ml_collections.ConfigDict({
        "rules": ((".*", True),),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-3},
        "weight_decay": 0.0,
        "clip": 0.8,
        "epochs": 40,
        "patience": 40,
    })  # fmt: skip
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
