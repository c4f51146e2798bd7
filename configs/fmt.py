"""FMT: attention within every set of modalities, layer by layer, then a GRU.

Zadeh et al. 2019; 21 518 656 parameters on IEMOCAP's features with four classes. Sizes and
rate are those of the authors' public code for IEMOCAP, but that nothing is chosen on test data and
training ends 30 epochs after the best one. A batch is one conversation: about as many utterances as
a batch of theirs had, 20. An epoch of CMU-MOSI takes some 20 seconds of CPU time.

    python -m experiments.run --config=configs/fmt.py --workdir=runs/fmt
"""

import ml_collections

from configs import mman
from mman_jax.systems.fmt import FMT


def system(config):
    config.system = "fmt"
    config.network = ml_collections.ConfigDict({"system": "fmt"} | FMT.defaults())
    config.train.batch = 1
    del config.train.towers, config.train.fusion
    config.train.all = ml_collections.ConfigDict({
        "rules": ((".*", True),),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-3},
        "weight_decay": 0.0,
        "clip": 1e9,
        "epochs": 300,
        "patience": 30,
    })  # fmt: skip
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
