"""Factorized Multimodal Transformer (Zadeh et al. 2019): attention within each set of modalities.

Sizes are those of the authors' public code for IEMOCAP, whose network reads the words of one
utterance. Here a sequence is a row of cells. If cells are utterances, the network predicts every
utterance of a conversation, and attention sees the last `window` cells of the same conversation.
Three things differ from that code: every head projects the input of its group, not the projection
of the previous head (a chain of linear maps, which has the same functions); keys are masked where
a group is missing; and dropout acts only in training.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.layers.attention import after, band, keep
from mman_jax.layers.dense import Linear
from mman_jax.layers.factorized import Layer, Norm, waves
from mman_jax.layers.recurrent import GRU
from mman_jax.systems.base import Citation, System
from mman_jax.systems.settings import Ranges, RateBelowOne, Size, Sizes, around, one_stage
from mman_jax.types import Array, Inputs


class Network(nn.Module):
    """The full network; attributes as in `FMT`. The first axis of `layers` is the layer."""

    modalities: tuple[str, ...]
    classes: int
    widths: Mapping[str, int]
    layers: int
    heads: int
    merge: tuple[int, ...]
    hidden: int
    units: int
    window: int
    ahead: bool
    dropout: float

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any, train: bool) -> tuple[Array, dict[str, Array]]:
        """Computes logits [B, U, C] and the state; see `System.__call__`."""
        features, reset, present = inputs.features, inputs.reset, inputs.present
        state = state or {}
        back = band(reset, self.window, state.get("count"), self.ahead)
        masks = [present.get(m, jnp.ones(reset.shape, bool)) for m in self.modalities]
        there = jnp.stack(masks, axis=-1)
        parts = []
        for number, m in enumerate(self.modalities):
            mask = there[..., number, None]
            x = jnp.where(mask, features[m], 0)
            if m in self.widths:
                x = jnp.where(mask, Linear(self.widths[m], name=f"project_{m}")(x), 0)
            parts.append(math.sqrt(x.shape[-1]) * x + waves(back.position, x.shape[-1]))
        widths = tuple(x.shape[-1] for x in parts)
        x = jnp.concatenate(parts, axis=-1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        known = after(state.get("there"), there.astype(jnp.float32)) > 0
        layers = nn.scan(
            Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
            length=self.layers,
        )
        sizes = (widths, self.heads, self.merge, self.hidden, self.window, self.dropout)
        x, cells = layers(*sizes, name="layers")(x, state.get("cells"), back.seen, known, train)
        x = Norm(name="norm")(Linear(x.shape[-1], name="dense")(x))
        heard = there.any(-1) if present else None
        x, memory = GRU(self.units, name="gru")(x, reset, heard, state.get("memory"))
        after_row = {
            "count": back.count,
            "there": keep(state.get("there"), there.astype(jnp.float32), self.window),
            "cells": cells,
            "memory": memory,
        }
        return Linear(self.classes, name="logits")(x), after_row


class FMT(System):
    """Layers of attention within every set of modalities, then a GRU over the cells.

    Parameters lie under `answer`.

    Attributes:
        widths: number of features that a modality is projected to, by name; modalities without an
            entry are not projected.
        layers: L.
        heads: heads of each group, each as wide as the group.
        merge: units of the linear layers, without activations, that merge a modality's versions;
            the last layer, with 1 unit, is left out.
        hidden: units between the dense layers.
        units: units of the GRU.
        window: number of cells that attention sees, including the current one.
        ahead: whether attention also sees later cells, as many as earlier ones, as in the authors'
            code; the system is then not causal and does not stream.
        dropout: rate of all dropout layers.
    """

    paper = Citation(
        "FMT",
        "attention in every set of modalities",
        "Zadeh et al. 2019",
        {"binary4": ("88.8", "88.0", "74.0", "89.7")},
    )

    widths: Mapping[str, Size] = freeze({"speech": 40, "visual": 80})
    layers: Size = 8
    heads: Size = 4
    merge: Sizes = (8, 20, 10)
    hidden: Size = 512
    units: Size = 800
    window: Size = 64
    ahead: bool = False
    dropout: RateBelowOne = 0.0

    ranges: ClassVar[Ranges] = {
        "network.layers": {"low": 2, "high": 8},
        "network.heads": {"choices": (2, 4)},
        "network.units": around(800, 0.1, 1),
    }

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`."""
        return one_stage(batch=1, epochs=300, patience=30, b2=0.98, eps=1e-9)

    @property
    def causal(self) -> bool:
        """See `System.causal`; False if attention sees later cells."""
        return not self.ahead

    streams = causal

    def setup(self) -> None:
        """Creates the network."""
        self.answer = Network(
            modalities=self.modalities,
            classes=self.outputs,
            widths=self.widths,
            layers=self.layers,
            heads=self.heads,
            merge=self.merge,
            hidden=self.hidden,
            units=self.units,
            window=self.window,
            ahead=self.ahead,
            dropout=self.dropout,
        )

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        The state, float32, has the number of cells of the conversation so far [B]; for its last W
        cells the present modalities [B, W, M] and the attention inputs of each layer [B, L, W, S];
        and the state of the GRU [B, units].
        """
        logits, state = self.answer(inputs, state, train)
        return {"answer": logits}, state
