"""cLSTM-Visual: the visual tower alone, at the sizes of the paper's uni-modal baseline.

python -m experiments.run --config=configs/clstm_visual.py --workdir=runs/clstm_visual
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_visual"
    config.data.modalities = "visual"
    del config.network.early, config.network.fusion, config.network.unimodal.visual
    config.train.towers.learning_rate = 1e-3  # the lowest validation loss on CMU-MOSI
    return config
