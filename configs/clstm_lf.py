"""cLSTM-LF: a tower a modality, their predictions fused by a cLSTM block (4 729 616 parameters).

mman run --config=configs/clstm_lf.py --workdir=runs/clstm_lf
"""

import ml_collections

from mman_jax.configs import mman


def system(config):
    config.system = "clstm_lf"
    del config.network.early
    config.network.unimodal = ml_collections.ConfigDict(mman.unimodal_baselines(config))
    config.network.fusion = ml_collections.ConfigDict(
        config.baselines.clstm.to_dict() | {"kind": "clstm"}
    )
    config.train.fusion.learning_rate.default = config.baselines.clstm_rate
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
