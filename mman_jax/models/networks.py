"""The systems of the paper: towers that predict alone, and a late fusion of their predictions."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.models.attention import MultiModalAttention
from mman_jax.models.lstm import LSTM, State
from mman_jax.types import Array

ATTENTION_TOWER, CONCATENATION_TOWER = "mma", "ef"
FUSION = "fusion"


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


class LateFusion(nn.Module):
    """Fuses the towers' predictions: a dense layer (MMAN, section 2), or a cLSTM block (cLSTM-LF,
    section 3.3).

    Attributes:
        classes: C.
        block: sizes of the cLSTM block; None for one dense layer.
    """

    classes: int
    block: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """`dense` or `clstm`."""
        return "dense" if self.block is None else "clstm"

    @nn.compact
    def __call__(
        self, predictions: Mapping[str, Array], reset: Array, state: Any = None, train: bool = False
    ) -> tuple[Array, list[State] | None]:
        """Answers every utterance from what the towers answered, taken as probabilities.

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
        joined = jnp.concatenate([jax.nn.softmax(x) for x in predictions.values()], axis=-1)
        if self.block is None:
            # Training starts from the towers' plain vote: each class's logit is its summed
            # probability.
            def vote(_, shape, dtype=jnp.float32):
                return jnp.tile(jnp.eye(self.classes, dtype=dtype), (shape[0] // self.classes, 1))

            return nn.Dense(self.classes, kernel_init=vote, name="logits")(joined), None
        block = ContextualLSTM(classes=self.classes, **self.block, name="clstm")
        return block(joined, reset, state, train)


class Network(nn.Module):
    """Towers side by side and, where there are several, the late fusion of what they predict.

    Parameters lie under `towers_<name>` and `fusion`.

    Attributes:
        towers: the sub-networks by name.
        inputs: the modalities that each tower reads.
        fusion: the late fusion; None where one tower is the whole system.
        context: whether an utterance's answer depends on those before it in its conversation.
        modality_dropout: rate at which a modality of an utterance goes missing while training.
    """

    towers: Mapping[str, Tower]
    inputs: Mapping[str, Sequence[str]]
    fusion: LateFusion | None = None
    context: bool = True
    modality_dropout: float = 0.0

    def predict(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Every tower's answers.

        Args:
            features: [B, U, D] float32 a modality.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: by tower, before the first utterance; zeros by default.
            train: whether dropout acts, and modalities go missing at `modality_dropout`; it then
                needs the `dropout` key.
            present: [B, U] bool of modalities that may be missing, False where one is.

        Returns:
            Logits [B, U, C] float32 and the state after the last utterance, each by tower.
        """
        logits, last = {}, {}
        reset = self._starts(reset)
        if train and self.modality_dropout:
            present = self._drop_modalities(features, present or {})
        for name, tower in self.towers.items():
            own = {m: features[m] for m in self.inputs[name]}
            before = (state or {}).get(name)
            logits[name], last[name] = tower(own, reset, before, train, present)
        return logits, last

    def fuse(
        self,
        predictions: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """The fusion's answers alone, from those of the towers.

        Args:
            predictions: logits [B, U, C] float32 by tower.
            reset: [B, U] bool, True on the first utterance of each conversation.
            state: `fusion`'s, before the first utterance; zeros by default.
            train: whether dropout acts.

        Returns:
            `fusion`'s logits [B, U, C] float32, and its state, each under that name.
        """
        # In the towers' order: a jit or scan that the mapping came through sorts its keys.
        predictions = {name: predictions[name] for name in self.towers}
        reset = self._starts(reset)
        fused, last = self.fusion(predictions, reset, (state or {}).get(FUSION), train)
        return {FUSION: fused}, {FUSION: last}

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Mapping[str, Any] | None = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """All logits [B, U, C], each tower's and `fusion`'s, and all states; else as `predict`."""
        logits, last = self.predict(features, reset, state, train, present)
        if self.fusion is not None:
            fused, fused_last = self.fuse(logits, reset, state, train)
            logits, last = logits | fused, last | fused_last
        return logits, last

    def _drop_modalities(self, features, present):
        kept = {}
        for name, x in features.items():
            drawn = jax.random.bernoulli(
                self.make_rng("dropout"), 1 - self.modality_dropout, x.shape[:2]
            )
            kept[name] = drawn & present[name] if name in present else drawn
        return kept

    def _starts(self, reset: Array) -> Array:
        return reset if self.context else jnp.ones_like(reset)

    @property
    def head(self) -> str:
        """Whose answer is the system's."""
        return FUSION if self.fusion is not None else next(iter(self.towers))
