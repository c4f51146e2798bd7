"""bc-LSTM (Poria et al. 2017): two levels of bi-directional LSTMs over a conversation.

This is the contextual LSTM that the paper cites as [13]. Level 1 has one network per modality, each
trained by itself; level 2 reads the concatenated hidden activations of the frozen level 1. Sizes
and rates are those of the authors' public code. Two things differ: the best epoch is selected on
validation data, whereas that code keeps the last one; and every dropout layer is active.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.recurrent import LSTM
from mman_jax.systems.base import Outputs, Stage, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import Ranges, Rate, Size, around
from mman_jax.types import Array, Inputs

FUSION = "fusion"


class Level(nn.Module):
    """A bi-directional LSTM over a conversation, a dense layer of K units, and C classes.

    The activation is a name in `flax.linen`; the other attributes are as in `BcLSTM`.
    """

    classes: int
    hidden: int
    dense: int
    activation: str
    input_dropout: float
    dropout: float

    @nn.compact
    def __call__(
        self, inputs: Array, reset: Array, train: bool = False, mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Predicts every utterance from the full conversation; the arguments are those of `LSTM`.

        Returns logits [B, U, C] and the dense layer's activations before dropout [B, U, K].
        """

        def drop(x, rate):
            return nn.Dropout(rate, deterministic=not train)(x)

        inputs = drop(inputs, self.input_dropout)
        forward, _ = LSTM(self.hidden, name="forward")(inputs, reset, mask)
        backward, _ = LSTM(self.hidden, reverse=True, name="backward")(inputs, reset, mask)
        joined = drop(jnp.concatenate([forward, backward], axis=-1), self.dropout)
        hidden = getattr(nn, self.activation)(nn.Dense(self.dense, name="dense")(joined))
        return nn.Dense(self.classes, name="logits")(drop(hidden, self.dropout)), hidden


class BcLSTM(System):
    """Both levels. Parameters are under `towers_<modality>` and `fusion`.

    Attributes:
        hidden: H of each direction, of both levels.
        dense: units of the dense layer of level 1 (tanh).
        fusion_dense: units of the dense layer of level 2 (relu).
        dropout: rate before and after the dense layers.
        input_dropout: rate on the features.
        fusion_input_dropout: rate on the activations that level 2 reads.
    """

    paper = Citation(
        "bc-LSTM",
        "bi-directional LSTMs in two levels; sees later utterances",
        "Poria et al. 2017",
        {"iemocap": ("71.59",)},
        selection="the last, in the public code",
    )

    hidden: Size = 300
    dense: Size = 100
    fusion_dense: Size = 500
    dropout: Rate = 0.9
    input_dropout: Rate = 0.6
    fusion_input_dropout: Rate = 0.4

    causal: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    ranges: ClassVar[Ranges] = {
        "network.hidden": around(300, 0.2, 1),
        "network.dense": around(100, 0.5, 2),
        "network.fusion_dense": around(500, 0.2, 1),
    }

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`; as in the authors' code, except how the best epoch is selected."""
        shared = {"optimizer": "adadelta", "learning_rate": {"default": 1.0}, "weight_decay": 0.0}
        shared |= {"clip": 1e9, "epochs": 200, "patience": 10}  # no clipping
        towers, fusion = ("towers_.*", True), ("fusion/.*", True)
        return {
            "batch": 10,
            "towers": {"rules": (("fusion/.*", False), towers)} | shared,
            "fusion": {"rules": (fusion, ("towers_.*", False)), "answers": "training"} | shared,
        }

    def setup(self) -> None:
        """Creates the levels."""
        sizes = (self.outputs, self.hidden, self.dense, "tanh", self.input_dropout, self.dropout)
        self.towers = {name: Level(*sizes) for name in self.modalities}
        self.fusion = Level(
            self.outputs, self.hidden, self.fusion_dense, "relu",
            self.fusion_input_dropout, self.dropout,
        )  # fmt: skip

    def stages(self) -> tuple[Stage, ...]:
        """Returns level 1, a head per modality, and level 2, which reads the frozen level 1."""
        level_1 = Stage("towers", "predict", self.modalities)
        return level_1, Stage(FUSION, "fuse", (FUSION,), reads="activations")

    def predict(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes level 1: logits [B, U, C] by modality; see `__call__`."""
        outputs = self._level_1(inputs, train)
        return {name: logits for name, (logits, _) in outputs.items()}, None

    def activations(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes level 1: activations [B, U, K] by modality; see `__call__`."""
        outputs = self._level_1(inputs, train)
        return {name: hidden for name, (_, hidden) in outputs.items()}, None

    def fuse(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes level 2: logits [B, U, C] of `fusion`, from the outputs of `activations`."""
        joined = jnp.concatenate([inputs.features[name] for name in self.modalities], axis=-1)
        return {FUSION: self.fusion(joined, inputs.reset, train)[0]}, None

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of every modality and of `fusion`; see `System.__call__`.

        `state` is not used, since predictions depend on later utterances.
        """
        outputs = self._level_1(inputs, train)
        hidden = {name: hidden for name, (_, hidden) in outputs.items()}
        fused, _ = self.fuse(inputs._replace(features=hidden), None, train)
        return {name: logits for name, (logits, _) in outputs.items()} | fused, None

    def _level_1(self, inputs, train) -> dict[str, tuple[Array, Array]]:
        outputs = {}
        for name in self.modalities:
            x, mask = inputs.features[name], inputs.present.get(name)
            x = x if mask is None else jnp.where(mask[..., None], x, 0)
            outputs[name] = self.towers[name](x, inputs.reset, train, mask)
        return outputs
