"""The late fusion of what towers predict."""

from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.clstm import ContextualLSTM
from mman_jax.layers.lstm import State
from mman_jax.types import Array


class LateFusion(nn.Module):
    """Fuses the towers' predictions: a dense layer (MMAN, section 2), or a cLSTM block (cLSTM-LF,
    section 3.3).

    Attributes:
        classes: C.
        block: sizes of the cLSTM block; None for one dense layer.
        numbers: whether towers answer numbers, [..., C], not logits of classes.
    """

    classes: int
    block: Mapping[str, Any] | None = None
    numbers: bool = False

    @property
    def kind(self) -> str:
        """`dense` or `clstm`."""
        return "dense" if self.block is None else "clstm"

    @nn.compact
    def __call__(
        self, predictions: Mapping[str, Array], reset: Array, state: Any = None, train: bool = False
    ) -> tuple[Array, list[State] | None]:
        """Answers every utterance from what the towers answered, classes as probabilities.

        Args:
            predictions: logits [B, U, C] float32 a tower.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: of the cLSTM block before the first utterance; zeros by default.
            train: whether the block's dropout acts.

        Returns:
            Logits [B, U, C] float32, and the block's state; None where there is no block.

        Raises:
            AssertionError: if the towers disagree in shape.
        """
        chex.assert_equal_shape(list(predictions.values()))
        taken = [x if self.numbers else jax.nn.softmax(x) for x in predictions.values()]
        joined = jnp.concatenate(taken, axis=-1)
        if self.block is None:
            # Training starts from the towers' plain vote: each class's logit is its summed
            # probability, each number the towers' mean.
            def vote(_, shape, dtype=jnp.float32):
                one = jnp.eye(self.classes, dtype=dtype)
                each = jnp.tile(one, (shape[0] // self.classes, 1))
                return each / len(taken) if self.numbers else each

            return nn.Dense(self.classes, kernel_init=vote, name="logits")(joined), None
        block = ContextualLSTM(classes=self.classes, **self.block, name="clstm")
        return block(joined, reset, state, train)
