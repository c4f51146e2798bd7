"""cLSTM-Speech: the speech tower alone, at the sizes of the paper's uni-modal baseline.

python -m experiments.run --config=configs/clstm_speech.py --workdir=runs/clstm_speech
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_speech"
    config.data.modalities = "speech"
    del config.network.early, config.network.fusion, config.network.unimodal.visual
    config.train.towers.learning_rate = 1e-3  # the lowest validation loss on CMU-MOSI
    return config
