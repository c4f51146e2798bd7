"""cLSTM-LF: a tower a modality, their predictions fused by a cLSTM block (4 729 616 parameters).

python -m experiments.run --config=configs/clstm_lf.py --workdir=runs/clstm_lf
"""

import ml_collections

from configs import mman
from mman_jax.systems.mman import clstm


def system(config):
    config.system = "clstm_lf"
    del config.network.early
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": config.network.unimodal.default}
    )
    config.network.fusion = ml_collections.ConfigDict(clstm((300,), 200) | {"kind": "clstm"})
    rates = config.train.fusion.learning_rate
    rates.default = rates.clstm
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
