"""cLSTM-LF: a tower a modality, their predictions fused by a cLSTM block (4 729 616 parameters).

python -m experiments.run --config=configs/clstm_lf.py --workdir=runs/clstm_lf
"""

from configs import mman


def get_config():
    config = mman.get_config()
    config.system = "clstm_lf"
    del config.network.early, config.network.unimodal.visual
    config.network.fusion = mman.clstm((300,), 200)
    config.network.fusion.kind = "clstm"
    config.train.fusion.learning_rate = 1e-3
    return config
