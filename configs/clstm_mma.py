"""cLSTM-MMA: the multi-modal attention tower alone (1 273 154 parameters on IEMOCAP's features).

python -m experiments.run --config=configs/clstm_mma.py --workdir=runs/clstm_mma
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_mma"
    del config.network.unimodal, config.network.fusion
    config.train.towers.learning_rate = 1e-4  # the lowest validation loss on CMU-MOSI
    return config
