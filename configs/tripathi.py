"""Tripathi and Beigi 2018: each modality through a dense layer, concatenated; no context.

380 932 parameters on IEMOCAP's features with four classes. Rate and epochs are those of the
authors' public code, but that the best epoch is chosen on validation data. A batch is three
conversations: about as many utterances as a batch of theirs had, 64.

    python -m experiments.run --config=configs/tripathi.py --workdir=runs/tripathi
"""

import ml_collections

from configs import mman
from mman_jax.systems.tripathi import Tripathi


def system(config):
    config.system = "tripathi"
    config.network = ml_collections.ConfigDict({"system": "tripathi"} | Tripathi.defaults())
    config.train.batch = 3
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
