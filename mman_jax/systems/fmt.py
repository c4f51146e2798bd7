"""Factorized Multimodal Transformer (Zadeh et al. 2019): attention within each set of modalities.

Sizes are those of the authors' public code for IEMOCAP, whose network reads the words of one
utterance. Here a sequence is a row of cells. If cells are utterances, the network predicts every
utterance of a conversation, and attention sees the last `window` cells of the same conversation.
Three things differ from that code: every head projects the input of its group, not the projection
of the previous head (a chain of linear maps, which has the same functions); keys are masked where
a group is missing; and dropout acts only in training.
"""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.layers.attention import after, band, keep, weigh
from mman_jax.layers.dense import Linear, uniform
from mman_jax.layers.recurrent import GRU
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import Ranges, RateBelowOne, Size, Sizes, around, one_stage
from mman_jax.systems.step import Scope
from mman_jax.types import Array, Inputs


class FMT(System):
    """Layers of attention within every set of modalities, then a GRU over the cells.

    Parameters are under `answer`.

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
        selection="best of each emotion on the test part",
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

    training: ClassVar[dict[str, Any]] = one_stage(
        batch=1, epochs=300, patience=30, b2=0.98, eps=1e-9
    )

    @property
    def causal(self) -> bool:
        """See `System.causal`; False if attention sees later cells."""
        return not self.ahead

    streams = causal

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        The state, float32, has the number of cells of the conversation so far [B]; for its last W
        cells the present modalities [B, W, M] and the attention inputs of each layer [B, L, W, S];
        and the state of the GRU [B, units].
        """
        logits, state = Scope(name="answer")(self._network, inputs, state, train)
        return {"answer": logits}, state

    @nn.nowrap
    def _network(self, inputs, state, train) -> tuple[Array, dict[str, Array]]:
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
        return Linear(self.outputs, name="logits")(x), after_row


def waves(position: Array, size: int) -> Array:
    """Returns encodings [..., size] of positions: sines in even features, cosines in odd ones."""
    number = jnp.arange(size)
    angles = position[..., None] * 1e4 ** (-2.0 * number / size)
    return jnp.where(number % 2 == 0, jnp.sin(angles), jnp.cos(angles))


class Norm(nn.Module):
    """Layer normalisation with the unbiased standard deviation (n - 1), then scale and bias."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises [..., D] over D."""
        size = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (size,))
        bias = self.param("bias", nn.initializers.zeros_init(), (size,))
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.sum(centred**2, axis=-1, keepdims=True) / max(size - 1, 1)
        # The gradient of the square root is infinite at a variance of zero.
        return scale * centred / (jnp.sqrt(jnp.maximum(variance, 1e-30)) + 1e-6) + bias


class Group(nn.Module):
    """Attention within a set of modalities; each head is as wide as the set.

    The first axis of the parameters is the head. Dropout acts on the weights and the outputs.
    """

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, cells: Array, seen: Array, train: bool) -> Array:
        """Computes the output of each head, [H, B, U, w] float32.

        Queries are computed from x [B, U, w], keys and values from cells [B, K, w]; `seen` is
        [B, U, K] bool.
        """
        size = x.shape[-1]
        kernel, bias = {}, {}
        for name in ("query", "key", "value", "output"):
            shape = (self.heads, size, size)
            kernel[name] = self.param(f"{name}_kernel", uniform(size), shape)
            bias[name] = self.param(f"{name}_bias", uniform(size), shape[:2])[:, None, None]

        def project(name, x):
            return jnp.einsum("hbud,hde->hbue", x, kernel[name])

        queries = jnp.einsum("bud,hde->hbue", x, kernel["query"]) + bias["query"]
        # q . (c K + k) = (K q) . c + q . k, and likewise for the values, which avoids recomputing
        # the keys and values of cached cells.
        projected = jnp.einsum("hbue,hde->hbud", queries, kernel["key"])
        scores = jnp.einsum("hbud,bkd->hbuk", projected, cells)
        scores = scores + jnp.sum(queries * bias["key"], axis=-1, keepdims=True)
        weights = weigh(scores * size**-0.5, seen)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        weights = drop(weights)
        values = project("value", jnp.einsum("hbuk,bkd->hbud", weights, cells))
        values = values + weights.sum(-1, keepdims=True) * bias["value"]
        return drop(project("output", values) + bias["output"])


class Layer(nn.Module):
    """Attention in all groups, the merging of its outputs, and two dense layers.

    The attributes are those of `FMT`, except that `widths` are the features of each modality.
    """

    widths: tuple[int, ...]
    heads: int
    merge: tuple[int, ...]
    hidden: int
    window: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Array, kept: Array | None, seen: Array, known: Array, train: bool
    ) -> tuple[Array, Array]:
        """Maps the concatenated modalities [B, U, S] to [B, U, S]; also returns the cells to cache.

        `kept` [B, W, S] are cached earlier cells, `seen` is [B, U, K], and `known` [B, K, M] says
        which modalities the cells have.
        """
        ends = list(itertools.accumulate(self.widths))
        columns = [slice(end - w, end) for end, w in zip(ends, self.widths, strict=True)]
        normed = Norm(name="norm_attention")(x)
        cells, kept = after(kept, normed), keep(kept, normed, self.window)
        groups = _groups(len(self.widths))
        weights, biases = self._merging(len(groups) // 2 + 1)
        # A version of a modality is x plus the heads' outputs so far. The layers that merge the
        # versions have no activations and reduce to one weight per version.
        parts = [
            of_x * x[..., c] + bias
            for c, of_x, bias in zip(columns, weights.sum((1, 2)), biases, strict=True)
        ]
        # A head's output is part of its version and of the versions of later heads.
        weights = jnp.flip(jnp.cumsum(jnp.flip(weights, axis=1), axis=1), axis=1)
        place = [0] * len(self.widths)
        for group in groups:
            queries, keys = (
                jnp.concatenate([y[..., columns[m]] for m in group], -1) for y in (normed, cells)
            )
            group_known = functools.reduce(jnp.logical_or, (known[..., m] for m in group))
            attend = Group(self.heads, self.dropout, name="group_" + "_".join(map(str, group)))
            heads = attend(queries, keys, seen & group_known[:, None], train)
            factors = [
                jnp.repeat(weights[m, :, place[m], None], self.widths[m], axis=1) for m in group
            ]
            merged = jnp.einsum("hbuw,hw->buw", heads, jnp.concatenate(factors, axis=1))
            edges = list(itertools.accumulate(self.widths[m] for m in group))[:-1]
            for m, part in zip(group, jnp.split(merged, edges, axis=-1), strict=True):
                parts[m], place[m] = parts[m] + part, place[m] + 1
        hidden = Norm(name="norm_dense")(jnp.concatenate(parts, axis=-1))
        hidden = nn.relu(Linear(self.hidden, name="dense_0")(hidden))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        output = Linear(x.shape[-1], name="dense_1")(hidden)
        return x + nn.Dropout(self.dropout, deterministic=not train)(output), kept

    def _merging(self, versions):
        """Returns the weight of each version [M, H, V] and the constant of each modality [M]."""
        sizes = (versions, *self.merge, 1)
        shape = (len(self.widths), self.heads)
        weights, constant = jnp.eye(versions), jnp.zeros((*shape, versions))
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            start = uniform(inputs)
            kernel = self.param(f"merge_{number}_kernel", start, (*shape, inputs, outputs))
            bias = self.param(f"merge_{number}_bias", start, (*shape, outputs))
            weights = weights @ kernel
            constant = jnp.einsum("mhi,mhio->mho", constant, kernel) + bias
        return weights[..., 0], constant[..., 0].sum(-1)


def _groups(count: int) -> list[tuple[int, ...]]:
    """Returns all non-empty sets of modalities, ordered by size, then lexicographically."""
    sizes = range(1, count + 1)
    return [group for size in sizes for group in itertools.combinations(range(count), size)]
