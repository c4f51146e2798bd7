"""MMAN and its cLSTMs with the learning rates that have the lowest validation loss on CMU-MOSI.

Validation loss by learning rate:

speech: 0.0001: 0.6856, 0.0003: 0.6857, 0.001: 0.6836
visual: 0.0001: 0.4128, 0.0003: 0.2936, 0.001: 0.2933
text: 0.0001: 0.0678, 0.0003: 0.0712, 0.001: 0.0770
mma: 0.0001: 0.0458, 0.0003: 0.0528, 0.001: 0.0575
ef: 0.0001: 0.0595, 0.0003: 0.0610, 0.001: 0.0698
dense fusion: 0.001: 0.0552, 0.003: 0.0472, 0.01: 0.0468
clstm fusion: 0.0003: 0.0472, 0.001: 0.0511, 0.003: 0.0496
"""

from mman_jax.configs import mman

_RATES = {"speech": 0.001, "visual": 0.001, "text": 0.0001, "mma": 0.0001, "ef": 0.0001}
_FUSION = {"dense": 0.01, "clstm": 0.0003}


def get_config(name="mman"):
    config = mman.get_config(name)
    blocks = [*config.network.get("unimodal", {}).values()]
    blocks += [config.network.early] if "early" in config.network else []
    for block in blocks:
        block.input_dropout = 0.0
    config.train.update(select="loss", smoothing=0.0)
    config.train.towers.learning_rate.update(_RATES)
    if "fusion" in config.network:
        config.train.fusion.learning_rate.default = _FUSION[config.network.fusion.kind]
    return config
