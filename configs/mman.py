"""MMAN: three uni-modal towers and a multi-modal attention tower, under a dense late fusion.

The whole recipe. Every other config has a function `system` that makes this recipe, or another one
(`configs/clstm_lf.py:mosi`), into its own system. Sizes are those that give the parameter counts of
the paper's Table 2 on IEMOCAP's features (4 392 184 for this one). The paper leaves the training
settings open; README.md says how these were chosen.

    python -m experiments.run --config=configs/mman.py --workdir=runs/mman
"""

import importlib

import ml_collections
from ml_collections.config_dict import placeholder


def clstm(hidden, dense, dropout=0.3):
    """Sizes of a cLSTM block: units of its LSTM layers and of its dense layer; dropout rate."""
    return ml_collections.ConfigDict({"hidden": hidden, "dense": dense, "dropout": dropout})


def tower(hidden, dense, dropout=0.3, input_dropout=0.0):
    """A cLSTM block that reads features, a share of which it may drop while training."""
    config = clstm(hidden, dense, dropout)
    config.input_dropout = input_dropout
    return config


def optimizer(rules, learning_rate, weight_decay, clip, epochs, patience):
    """How a stage trains: Adam with decoupled weight decay, gradients clipped a tower at a time."""
    return ml_collections.ConfigDict(
        {
            "rules": rules,
            "learning_rate": {"default": learning_rate},  # and any tower's own, by its name
            "weight_decay": weight_decay,
            "clip": clip,
            "epochs": epochs,
            "patience": patience,
        }
    )


def recipe(name):
    """The recipe of a config by its name: `mman`, or one that `experiments.sweep` wrote."""
    return importlib.import_module(f"configs.{name or 'mman'}").get_config()


def unimodal(config, modality):
    """Makes a recipe into one modality's cLSTM, at the sizes of the paper's uni-modal baseline."""
    config.system = f"clstm_{modality}"
    config.data.modalities = modality
    del config.network.early, config.network.fusion
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": config.network.unimodal.default}
    )
    return config


def get_config():
    config = ml_collections.ConfigDict()
    config.system = "mman"
    config.seeds = 1
    config.first_seed = 0
    config.checkpoint_seconds = 60.0  # at most so much work is done again after an interruption
    config.parallel = "jit"
    # Devices over which seeds and the rows of a batch are spread; 0 chooses, seeds first.
    config.mesh = ml_collections.ConfigDict({"seeds": 0, "rows": 0})
    # One process; `auto` for as many as a TPU pod slice or Slurm starts; ADDRESS:PORT,PROCESSES,ID.
    config.distributed = ""

    config.data = ml_collections.ConfigDict()
    config.data.path = placeholder(str)  # none: the built-in synthetic corpus
    config.data.protocol = "auto"
    config.data.modalities = ""  # comma-separated names; none: all
    config.data.stream = placeholder(bool)  # none: where rows would take over half of a device

    config.network = ml_collections.ConfigDict()
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": tower((300, 300), 200), "visual": tower((150, 150), 50)}
    )
    config.network.early = tower((300,), 200)
    config.network.early.kind = "attention"
    config.network.early.attention = ml_collections.ConfigDict(
        {"model": 150, "key": 150, "value": 150, "shared": True, "skip": "add"}
    )
    config.network.fusion = ml_collections.ConfigDict({"kind": "dense"})
    config.network.context = True  # False: each utterance is answered by itself
    config.network.modality_dropout = 0.0  # rate at which a modality goes missing in training

    config.train = ml_collections.ConfigDict()
    config.train.batch = 30  # conversations
    config.train.max_epochs = 1000  # caps every stage
    config.train.select = "loss"
    config.train.class_weights = False
    config.train.towers = optimizer(
        rules=(("fusion/.*", False), ("towers_.*", True)),
        learning_rate=3e-4,
        weight_decay=1e-5,
        clip=1.0,
        epochs=80,
        patience=10,
    )
    config.train.fusion = optimizer(
        rules=(("fusion/.*", True), ("towers_.*", False)),
        learning_rate=1e-2,
        weight_decay=1e-5,
        clip=1.0,
        epochs=200,
        patience=20,
    )
    config.train.fusion.learning_rate.clstm = 1e-3  # of a fusion that is a cLSTM block
    return config
