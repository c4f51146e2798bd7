"""The systems of the paper: towers that predict alone, and a late fusion of their predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.fusion import LateFusion
from mman_jax.layers.tower import Tower
from mman_jax.types import Array

ATTENTION_TOWER, CONCATENATION_TOWER = "mma", "ef"
FUSION = "fusion"


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
