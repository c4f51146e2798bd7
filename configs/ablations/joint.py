"""MMAN whose towers are first trained separately, then fine-tuned together with the fusion.

mman run --config=configs/ablations/joint.py --workdir=runs/joint
"""

from mman_jax.configs import mman


def variant(recipes):
    config = recipes("mman")
    config.train.fusion.rules = (("fusion/.*", True), ("towers_.*", True))
    rates = config.train.fusion.learning_rate
    rates.fusion, rates.default = rates.default, 1e-4
    config.train.fusion.epochs = 40
    config.train.fusion.patience = 10
    config.name = "joint"
    return config


get_config = mman.made_by(variant)
