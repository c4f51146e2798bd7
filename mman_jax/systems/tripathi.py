"""The concatenating network (Tripathi and Beigi 2018), the paper's [12], over utterances.

Each modality ends in a linear layer; these are concatenated, and dense layers answer. It knows no
context. Their branches over words, sound and motion capture read sequences; here a branch reads
the utterance's vector.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.systems.base import System, check_rate, check_size
from mman_jax.types import Array


class Tripathi(System):
    """Parameters lie under `linear_<modality>`, `dense` and `answer`.

    Attributes:
        units: of each modality's layer and of the dense layer.
        dropout: rate after each of them.
    """

    units: int = 256
    dropout: float = 0.2

    in_context: ClassVar[bool] = False

    def setup(self) -> None:
        """Makes the layers."""
        check_size("network.units", self.units)
        check_rate("network.dropout", self.dropout)
        self.linear = {m: nn.Dense(self.units) for m in self.modalities}
        self.dense = nn.Dense(self.units)
        self.answer = nn.Dense(self.classes)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], tuple[()]]:
        """Logits [B, U, C] of `answer`; see `System.__call__`. There is no state."""
        branches = []
        for m in self.modalities:
            there = present[m][..., None] if present and m in present else True
            found = self.linear[m](jnp.where(there, features[m], 0))
            found = jnp.where(there, found, 0)  # without the bias, too
            branches.append(self.drop(found, deterministic=not train))
        hidden = nn.relu(self.dense(nn.relu(jnp.concatenate(branches, axis=-1))))
        return {"answer": self.answer(self.drop(hidden, deterministic=not train))}, ()
