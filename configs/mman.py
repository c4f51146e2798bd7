"""MMAN: three uni-modal towers and a multi-modal attention tower, under a dense late fusion.

The sizes and the training settings are those of `mman_jax/systems/mman.py`; what a run needs
beside them is here. Every other config has a function `system` that makes this recipe, or another
one (`configs/clstm_lf.py:mosi`), into its own system.

    mman run --config=configs/mman.py --workdir=runs/mman
"""

import importlib
import runpy

import ml_collections
from ml_collections.config_dict import placeholder

from mman_jax.systems import SYSTEMS
from mman_jax.systems.mman import clstm, network, tower, training


def recipe(name):
    """The recipe of a config: `mman`, or one that `mman sweep` wrote, by its name or its path."""
    if name and name.endswith(".py"):
        return runpy.run_path(name)["get_config"]()
    return importlib.import_module(f"mman_jax.configs.{name or 'mman'}").get_config()


def unimodal(config, modality):
    """Makes a recipe into one modality's cLSTM, at the sizes of the paper's uni-modal baseline."""
    config.system = f"clstm_{modality}"
    config.data.modalities = modality
    del config.network.early, config.network.fusion
    towers = unimodal_baselines(config)
    config.network.unimodal = ml_collections.ConfigDict(
        {"default": towers.get(modality, towers["default"])}
    )
    return config


def of_one_stage(config, name, batch, falls_after=None, **settings):
    """Makes a recipe into a system of the library's own sizes that is trained in one stage.

    After `falls_after` epochs without a lower validation loss its learning rate falls to a tenth.
    """
    config.system = name
    config.network = ml_collections.ConfigDict({"system": name} | SYSTEMS[name].defaults())
    config.train.batch = batch
    del config.train.towers, config.train.fusion
    config.train.all = ml_collections.ConfigDict(
        {
            "rules": ((".*", True),),
            "optimizer": "adam",
            "learning_rate": {"default": 1e-3},
            "weight_decay": 0.0,
            "clip": 1e9,  # none
        }
        | settings
        | ({"plateau": {"patience": falls_after, "factor": 0.1}} if falls_after else {})
    )
    return config


def unimodal_baselines(config):
    """A recipe's uni-modal towers as they are outside MMAN, whose visual tower alone is smaller.

    What a recipe says of a tower beside that holds here, too.
    """
    smaller = network()["unimodal"]["visual"]
    default = config.network.unimodal.default
    towers = {}
    for name, block in config.network.unimodal.to_dict().items():
        if (tuple(block["hidden"]), block["dense"]) == (smaller["hidden"], smaller["dense"]):
            block |= {"hidden": default.hidden, "dense": default.dense}
        if name == "default" or block != default.to_dict():
            towers[name] = block
    return towers


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
    config.data.path = placeholder(str)  # none: a built-in synthetic corpus, as data.cells says
    config.data.protocol = "auto"
    config.data.target = ""  # comma-separated names of a corpus's targets to predict; none: labels
    config.data.classes = 0  # to cut from the one target: 2, 3, 5 or 7; 0: the number itself
    config.data.split = ""  # none: the corpus's own; raven: IEMOCAP's sessions 3-5, 2 and 1
    config.data.folds = ""  # sessions, speakers or a number: each such group is the test part once
    config.data.fold = ""  # one of these folds by its name
    config.data.modalities = ""  # comma-separated names; none: all
    config.data.test = placeholder(str)  # another corpus, which is tested on
    config.data.label_map = placeholder(str)  # joy=happy,contempt= (context only), in all corpora
    config.data.scale = placeholder(str)  # each: that test corpus by its own statistics
    config.data.cells = "utterances"  # or words, or frames: of what an utterance's answer is made
    config.data.pivot = ""  # whose cells are the words; none: text, or the first modality
    config.data.words = 50  # of an utterance at most: the last ones
    config.data.stream = placeholder(bool)  # none: where rows would take over half of a device

    config.network = ml_collections.ConfigDict(network())
    # What cLSTM-EF and cLSTM-LF have beside or in place of MMAN's: an early and a late fusion.
    config.baselines = ml_collections.ConfigDict(
        {"ef": tower((300, 300), 200), "clstm": clstm((300,), 200), "clstm_rate": 1e-3}
    )
    config.train = ml_collections.ConfigDict(training())
    return config
