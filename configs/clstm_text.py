"""cLSTM-Text: the text tower alone, at the sizes of the paper's uni-modal baseline.

python -m experiments.run --config=configs/clstm_text.py --workdir=runs/clstm_text
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_text"
    config.data.modalities = "text"
    del config.network.early, config.network.fusion, config.network.unimodal.visual
    config.train.towers.learning_rate = 1e-4  # the lowest validation loss on CMU-MOSI
    return config
