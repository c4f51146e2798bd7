"""cLSTM-EF: the modalities concatenated (2 000 204 parameters on IEMOCAP's features).

python -m experiments.run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_ef"
    del config.network.unimodal, config.network.fusion
    config.network.early = mman.tower((300, 300), 200)
    config.network.early.kind = "concatenation"
    config.train.towers.learning_rate = 1e-4  # the lowest validation loss on CMU-MOSI
    return config
