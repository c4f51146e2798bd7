"""MMAN with the learning rates that a sweep chose on mosi.

Validation loss by learning rate; the lowest is taken:

speech: 0.0001: 0.6856, 0.0003: 0.6857, 0.001: 0.6836
visual: 0.0001: 0.4128, 0.0003: 0.2936, 0.001: 0.2933
text: 0.0001: 0.0678, 0.0003: 0.0712, 0.001: 0.0770
mma: 0.0001: 0.0458, 0.0003: 0.0528, 0.001: 0.0575
ef: 0.0001: 0.0595, 0.0003: 0.0610, 0.001: 0.0698
dense fusion: 0.001: 0.0552, 0.003: 0.0472, 0.01: 0.0468
clstm fusion: 0.0003: 0.0472, 0.001: 0.0511, 0.003: 0.0496
"""

from mman_jax.configs import mman


def get_config():
    config = mman.get_config()
    blocks = (*config.network.unimodal.values(), config.network.early, config.baselines.ef)
    for block in blocks:
        block.input_dropout = 0.0
    config.train.update(select="loss", smoothing=0.0)
    towers = config.train.towers.learning_rate
    towers.speech = 0.001
    towers.visual = 0.001
    towers.text = 0.0001
    towers.mma = 0.0001
    towers.ef = 0.0001
    config.train.fusion.learning_rate.default = 0.01
    config.baselines.clstm_rate = 0.0003
    return config
