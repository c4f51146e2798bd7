"""The recipe of MMAN as plain data: its sizes, and how it is trained.

Sizes are those that give the parameter counts of the paper's Table 2 on IEMOCAP's features
(4 392 184). The paper leaves the training settings open; README.md says how these were chosen.
Each function gives a new dict, to be changed at will; `configs/mman.py` adds what a run needs.
"""

from collections.abc import Sequence
from typing import Any

from mman_jax.training.freezing import Rules

Settings = dict[str, Any]


def clstm(hidden: Sequence[int], dense: int, dropout: float = 0.3) -> Settings:
    """Sizes of a cLSTM block: units of its LSTM layers and of its dense layer; dropout rate."""
    return {"hidden": tuple(hidden), "dense": dense, "dropout": dropout}


def tower(
    hidden: Sequence[int], dense: int, dropout: float = 0.3, input_dropout: float = 0.0
) -> Settings:
    """A cLSTM block that reads features, a share of which it may drop while training."""
    return clstm(hidden, dense, dropout) | {"input_dropout": input_dropout}


def optimizer(
    rules: Rules,
    learning_rate: float,
    weight_decay: float,
    clip: float,
    epochs: int,
    patience: int,
) -> Settings:
    """How a stage trains: Adam with decoupled weight decay, gradients clipped a tower at a time."""
    return {
        "rules": rules,
        "learning_rate": {"default": learning_rate},  # and any tower's own, by its name
        "weight_decay": weight_decay,
        "clip": clip,
        "epochs": epochs,
        "patience": patience,
    }


def network() -> Settings:
    """What `build` makes MMAN of: a tower a modality and an attention tower, fused late."""
    return {
        "unimodal": {"default": tower((300, 300), 200), "visual": tower((150, 150), 50)},
        "early": tower((300,), 200)
        | {
            "kind": "attention",
            "attention": {"model": 150, "key": 150, "value": 150, "shared": True, "skip": "add"},
        },
        "fusion": {"kind": "dense"},
        "context": True,  # False: each utterance is answered by itself
        "modality_dropout": 0.0,  # rate at which a modality goes missing in training
    }


def training() -> Settings:
    """What `Trainer` takes: the towers first, then the fusion on frozen towers."""
    settings = {
        "batch": 30,  # conversations
        "max_epochs": 1000,  # caps every stage
        "select": "loss",
        "class_weights": False,
        "towers": optimizer(
            rules=(("fusion/.*", False), ("towers_.*", True)),
            learning_rate=3e-4,
            weight_decay=1e-5,
            clip=1.0,
            epochs=80,
            patience=10,
        ),
        "fusion": optimizer(
            rules=(("fusion/.*", True), ("towers_.*", False)),
            learning_rate=1e-2,
            weight_decay=1e-5,
            clip=1.0,
            epochs=200,
            patience=20,
        ),
    }
    settings["fusion"]["learning_rate"]["clstm"] = 1e-3  # of a fusion that is a cLSTM block
    return settings
