"""MFM: what modalities share and what is each one's own, from which each is rebuilt.

Tsai, Liang et al. 2019; 877 684 parameters on IEMOCAP's features with four classes. Sizes, rates,
weights of the losses and epochs are those that the authors' public code has written out for MOSI.
A batch is two conversations: about as many utterances as a batch of theirs had, 32.

    python -m experiments.run --config=configs/mfm.py --workdir=runs/mfm
"""

import ml_collections

from configs import mman
from mman_jax.systems.mfm import MFM


def system(config):
    config.system = "mfm"
    config.network = ml_collections.ConfigDict({"system": "mfm"} | MFM.defaults())
    config.train.batch = 2
    del config.train.towers, config.train.fusion
    config.train.all = ml_collections.ConfigDict({
        "rules": ((".*", True),),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-3},
        "weight_decay": 0.0,
        "clip": 1e9,
        "epochs": 30,
        "patience": 30,
    })  # fmt: skip
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
