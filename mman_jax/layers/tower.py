"""A sub-network that predicts alone."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.attention import MultiModalAttention
from mman_jax.layers.clstm import ContextualLSTM
from mman_jax.layers.lstm import State
from mman_jax.types import Array


class Tower(nn.Module):
    """A sub-network that predicts alone, from one modality or from several joined early.

    With one modality it is the paper's cLSTM-Speech, -Visual or -Text (section 2.2); with several
    it is cLSTM-MMA (section 2.1) or, concatenated, cLSTM-EF (section 3.3).

    Attributes:
        block: sizes of its cLSTM block, the arguments of `ContextualLSTM` but `classes`.
        classes: C.
        attention: arguments of `MultiModalAttention`; None concatenates the modalities.
        input_dropout: rate on the features.
    """

    block: Mapping[str, Any]
    classes: int
    attention: Mapping[str, Any] | None = None
    input_dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[Array, list[State]]:
        """Answers every utterance; `reset`, `state` and `train` are as in `ContextualLSTM`.

        Args:
            features: [B, U, D] float32 a modality, each with its own D.
            reset: [B, U] bool.
            state: before the first utterance; zeros by default.
            train: whether dropout acts.
            present: [B, U] bool of modalities that may be missing, False where one is; where all
                of them are, the state passes unchanged.

        Returns:
            Logits [B, U, C] float32, and the state after the last utterance.
        """
        present = {m: p for m, p in (present or {}).items() if m in features}
        drop = nn.Dropout(self.input_dropout, deterministic=not train)
        features = {
            m: drop(jnp.where(present[m][..., None], x, 0) if m in present else x)
            for m, x in features.items()
        }
        heard = None
        if present and len(present) == len(features):
            heard = functools.reduce(jnp.logical_or, present.values())
        if self.attention is None:
            joined = jnp.concatenate(list(features.values()), axis=-1)
        else:
            joined = MultiModalAttention(**self.attention, name="attention")(features, present)
        block = ContextualLSTM(classes=self.classes, **self.block, name="clstm")
        return block(joined, reset, state, train, heard)
