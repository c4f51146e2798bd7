"""RAVEN: the text's vectors, shifted by gated speech and vision, under an LSTM.

Wang et al. 2019; 968 706 parameters on IEMOCAP's features with four classes. Sizes, rates and
epochs are those of the authors' public code, but that training ends 50 epochs after the best one.
A batch is one conversation: about as many utterances as a batch of theirs had, 20.

    python -m experiments.run --config=configs/raven.py --workdir=runs/raven
"""

import ml_collections

from configs import mman
from mman_jax.systems.raven import RAVEN


def system(config):
    config.system = "raven"
    config.network = ml_collections.ConfigDict({"system": "raven"} | RAVEN.defaults())
    config.train.batch = 1
    del config.train.towers, config.train.fusion
    config.train.all = ml_collections.ConfigDict({
        "rules": ((".*", True),),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-3},
        "weight_decay": 0.0,
        "clip": 1e9,
        "epochs": 500,
        "patience": 50,
    })  # fmt: skip
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
