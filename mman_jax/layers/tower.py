"""Towers (sub-networks that predict independently) and their late fusion."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import MultiModalAttention
from mman_jax.layers.recurrent import LSTM, State
from mman_jax.types import Array


class ContextualLSTM(nn.Module):
    """The cLSTM block (section 2.1.3): LSTM layers, a dense layer, and the logits.

    The LSTMs are unidirectional, so that predictions depend on no later utterance.

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
        """Predicts every utterance.

        Args:
            inputs: [B, U, D] float32.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: states of the LSTM layers before the first utterance, [B, H] each; zeros by
                default.
            train: whether dropout is active, which needs the `dropout` key.
            mask: [B, U] bool, False where all modalities are missing: the states pass unchanged.

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


class Tower(nn.Module):
    """A sub-network that predicts from one modality, or from several by early fusion.

    With one modality it is the paper's cLSTM-Speech, -Visual or -Text (section 2.2); with several
    it is cLSTM-MMA (section 2.1) or, if they are concatenated, cLSTM-EF (section 3.3).

    Attributes:
        block: sizes of its cLSTM block, the arguments of `ContextualLSTM` except `classes`.
        classes: C.
        attention: arguments of `MultiModalAttention`; None concatenates the modalities.
        input_dropout: rate on the features.
        skip: whether a linear layer from the inputs of the block is added to its logits.
    """

    block: Mapping[str, Any]
    classes: int
    attention: Mapping[str, Any] | None = None
    input_dropout: float = 0.0
    skip: bool = False

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[Array, list[State]]:
        """Predicts every utterance from features [B, U, D] of each modality.

        `present` is [B, U] bool for each modality that may be missing; where all are missing, the
        state passes unchanged. The other arguments and the results are those of `ContextualLSTM`.
        """
        present = {m: p for m, p in (present or {}).items() if m in features}
        drop = nn.Dropout(self.input_dropout, deterministic=not train)
        features = {
            m: drop(jnp.where(present[m][..., None], x, 0) if m in present else x)
            for m, x in features.items()
        }
        mask = None
        if present and len(present) == len(features):
            mask = functools.reduce(jnp.logical_or, present.values())
        if self.attention is None:
            joined = jnp.concatenate(list(features.values()), axis=-1)
        else:
            joined = MultiModalAttention(**self.attention, name="attention")(features, present)
        block = ContextualLSTM(classes=self.classes, **self.block, name="clstm")
        logits, state = block(joined, reset, state, train, mask)
        if self.skip:
            logits += nn.Dense(self.classes, use_bias=False, name="skip")(joined)
        return logits, state


def drop_modalities(
    features: Mapping[str, Array],
    present: Mapping[str, Array],
    rate: float,
    make_rng: Callable[[str], Array],
) -> dict[str, Array]:
    """Drops modalities of cells at random; returns the mask [B, U] bool of each modality.

    Features are [B, U, ...], `present` is [B, U] bool of each modality that may be missing, and
    `make_rng` returns a new key of a collection, see `nn.Module.make_rng`.
    """
    masks = {}
    for name, x in features.items():
        mask = jax.random.bernoulli(make_rng("dropout"), 1 - rate, x.shape[:2])
        masks[name] = mask & present[name] if name in present else mask
    return masks


class LateFusion(nn.Module):
    """Fusion of the towers' predictions.

    Attributes:
        classes: C.
        kind: `dense` (MMAN, section 2); `clstm` (cLSTM-LF, section 3.3); `mean`, which has no
            parameters; or `best`, the logits of the tower with the largest parameter `choice`.
        block: sizes of the cLSTM block; None for the other kinds.
        numbers: whether the towers predict numbers [..., C] instead of logits.
        inputs: the fused values, `probabilities` or `log_probabilities`; unused by `best`.
    """

    classes: int
    kind: str = "dense"
    block: Mapping[str, Any] | None = None
    numbers: bool = False
    inputs: str = "probabilities"

    @nn.compact
    def __call__(
        self, predictions: Mapping[str, Array], reset: Array, state: Any = None, train: bool = False
    ) -> tuple[Array, list[State] | None]:
        """Predicts every utterance from the logits [B, U, C] of the towers.

        The other arguments are those of `ContextualLSTM`. Returns logits [B, U, C] float32, and the
        state of the block; None if there is no block.
        """
        chex.assert_equal_shape(list(predictions.values()))
        if self.kind == "best":
            choice = self.param("choice", nn.initializers.zeros, (len(predictions),))
            return jnp.stack(list(predictions.values()))[jnp.argmax(choice)], None
        reads_probabilities = self.inputs == "probabilities" and not self.numbers
        convert = jax.nn.softmax if reads_probabilities else jax.nn.log_softmax
        inputs = [x if self.numbers else convert(x) for x in predictions.values()]
        if self.kind == "mean":
            mean = sum(inputs) / len(inputs)
            return jnp.log(jnp.maximum(mean, 1e-30)) if reads_probabilities else mean, None
        joined = jnp.concatenate(inputs, axis=-1)
        if self.kind == "dense":
            # Training starts from an unweighted vote: the logit of a class is the sum of the
            # towers' probabilities; a number is the mean of the towers' numbers.
            def vote(_, shape, dtype=jnp.float32):
                votes = jnp.tile(jnp.eye(self.classes, dtype=dtype), (len(inputs), 1))
                return votes if reads_probabilities else votes / len(inputs)

            return nn.Dense(self.classes, kernel_init=vote, name="logits")(joined), None
        block = ContextualLSTM(classes=self.classes, **(self.block or {}), name="clstm")
        return block(joined, reset, state, train)
