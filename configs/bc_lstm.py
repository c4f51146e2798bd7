"""bc-LSTM: bi-directional, two levels, the second on the first's frozen activations.

Poria et al. 2017; 5 812 016 parameters on IEMOCAP's features with four classes. Trained as in the
authors' code, but that the best epoch is chosen on validation data; with
`--config.train.select=last` the last one is kept, as there. It sees later utterances.

    mman run --config=configs/bc_lstm.py --workdir=runs/bc_lstm
"""

import ml_collections

from mman_jax.configs import mman


def system(config):
    config.system = "bc_lstm"
    config.network = ml_collections.ConfigDict({"system": "bc_lstm"})
    config.train.batch = 10
    for stage in (config.train.towers, config.train.fusion):
        stage.update(optimizer="adadelta", weight_decay=0.0, clip=1e9)  # no clipping
        stage.learning_rate = ml_collections.ConfigDict({"default": 1.0})
        stage.epochs = 200
        stage.patience = 10
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
