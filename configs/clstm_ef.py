"""cLSTM-EF: the modalities concatenated (2 000 204 parameters on IEMOCAP's features).

python -m experiments.run --config=configs/clstm_ef.py --workdir=runs/clstm_ef
"""

from configs import mman


def concatenation():
    """The tower of all modalities, concatenated."""
    early = mman.tower((300, 300), 200)
    early.kind = "concatenation"
    return early


def system(config):
    config.system = "clstm_ef"
    del config.network.unimodal, config.network.fusion
    config.network.early = concatenation()
    return config


def get_config(recipe=None):
    return system(mman.recipe(recipe))
