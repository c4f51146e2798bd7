"""The cLSTM block of section 2.1.3."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn

from mman_jax.layers.lstm import LSTM, State
from mman_jax.types import Array


class ContextualLSTM(nn.Module):
    """The cLSTM block (section 2.1.3): LSTM layers over a conversation, a dense layer, the classes.

    Unidirectional, so that the answer at an utterance depends on no later one.

    Attributes:
        classes: C.
        hidden: H of each LSTM layer.
        dense: units of the dense layer.
        dropout: rate on the inputs of the dense layers and between the LSTM layers.
    """

    classes: int
    hidden: Sequence[int]
    dense: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        reset: Array,
        state: Any = None,
        train: bool = False,
        mask: Array | None = None,
    ) -> tuple[Array, list[State]]:
        """Answers every utterance.

        Args:
            inputs: [B, U, D] float32.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: of each LSTM layer before the first utterance, [B, H] each; zeros by default.
            train: whether dropout acts (it then needs the `dropout` key).
            mask: [B, U] bool, False where there is nothing to hear: the states pass unchanged.

        Returns:
            Logits [B, U, C] float32, and the layers' states after the last utterance.

        Raises:
            AssertionError: if a shape disagrees.
        """
        state = state or [None] * len(self.hidden)
        last = []
        for layer, (hidden, before) in enumerate(zip(self.hidden, state, strict=True)):
            inputs, after = LSTM(hidden, name=f"lstm_{layer}")(inputs, reset, mask, before)
            inputs = nn.Dropout(self.dropout, deterministic=not train)(inputs)
            last.append(after)
        inputs = nn.relu(nn.Dense(self.dense, name="dense")(inputs))
        inputs = nn.Dropout(self.dropout, deterministic=not train)(inputs)
        return nn.Dense(self.classes, name="logits")(inputs), last
