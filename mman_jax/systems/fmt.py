"""Factorized Multimodal Transformer (Zadeh et al. 2019): attention within each set of modalities.

Sizes are those of the authors' public code for IEMOCAP, whose network reads the words of one
utterance. Here a sequence is a row of cells: over utterances a cell is an utterance of a
conversation, every cell is answered, and attention looks back, at the last `window` cells of its
own conversation. Three things differ from that code: every head projects the input of its group,
not what the head before projected (a chain of linears: the same functions); keys are masked where
a group is missing; and nothing is dropped but in training.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import weigh
from mman_jax.layers.band import after, band, keep
from mman_jax.layers.gru import GRU
from mman_jax.layers.transformer import Linear, uniform
from mman_jax.systems.base import System, check_rate, check_size, check_sizes
from mman_jax.types import Array


class Norm(nn.Module):
    """Standard scores of a cell's features, by the deviation with n - 1; then scale and bias."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[..., D] to [..., D]."""
        size = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (size,))
        bias = self.param("bias", nn.initializers.zeros_init(), (size,))
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.sum(centred**2, axis=-1, keepdims=True) / max(size - 1, 1)
        # The root of a variance of zero has no finite gradient.
        return scale * centred / (jnp.sqrt(jnp.maximum(variance, 1e-30)) + 1e-6) + bias


class Group(nn.Module):
    """Attention of a set of modalities: heads that are each as wide as the group.

    Parameters have the heads as their first axis.

    Attributes:
        heads: H.
        dropout: rate on the weights and on what a head gives.
    """

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, cells: Array, seen: Array, train: bool) -> Array:
        """What each head gives: [H, B, U, w] float32.

        Args:
            x: [B, U, w] float32, who asks.
            cells: [B, K, w] float32, who answers.
            seen: [B, U, K] bool, whom who may ask.
            train: whether dropout acts.
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
        # q . (c K + k) = (K q) . c + q . k, and likewise for the values: one cell asks as much as
        # it is wide, and no key or value of a cell that is kept is made again.
        asked = jnp.einsum("hbue,hde->hbud", queries, kernel["key"])
        scores = jnp.einsum("hbud,bkd->hbuk", asked, cells)
        scores = scores + jnp.sum(queries * bias["key"], axis=-1, keepdims=True)
        weights = weigh(scores * size**-0.5, seen)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        weights = drop(weights)
        found = project("value", jnp.einsum("hbuk,bkd->hbud", weights, cells))
        found = found + weights.sum(-1, keepdims=True) * bias["value"]
        return drop(project("output", found) + bias["output"])


class Layer(nn.Module):
    """All groups, their merging, and two dense layers; attributes as in `FMT`.

    Attributes:
        widths: features of each modality.
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
        """[B, U, S] to [B, U, S], and what is kept of this layer's cells.

        Args:
            x: [B, U, S] float32, the modalities side by side.
            kept: [B, W, S] float32, of earlier cells; None before the first.
            seen: [B, U, K] bool.
            known: [B, K, M] bool, which modalities cells have.
            train: whether dropout acts.
        """
        ends = list(itertools.accumulate(self.widths))
        columns = [slice(end - w, end) for end, w in zip(ends, self.widths, strict=True)]
        asking = Norm(name="norm_attention")(x)
        cells, kept = after(kept, asking), keep(kept, asking, self.window)
        groups = _groups(len(self.widths))
        weights, biases = self._merging(len(groups) // 2 + 1)
        # A version of a modality is x and what the heads so far gave; all are merged linearly.
        parts = [
            of_x * x[..., c] + bias
            for c, of_x, bias in zip(columns, weights.sum((1, 2)), biases, strict=True)
        ]
        place = [0] * len(self.widths)
        for group in groups:
            own = [
                jnp.concatenate([y[..., columns[m]] for m in group], -1) for y in (asking, cells)
            ]
            there = functools.reduce(jnp.logical_or, (known[..., m] for m in group))
            name = "group_" + "_".join(map(str, group))
            found = Group(self.heads, self.dropout, name=name)(*own, seen & there[:, None], train)
            # The output of a head is in its own version and in those of the heads after it.
            counts = [jnp.flip(jnp.cumsum(jnp.flip(weights[m, :, place[m]]))) for m in group]
            counts = [jnp.repeat(c[:, None], self.widths[m], 1) for c, m in zip(counts, group)]
            merged = jnp.einsum("hbuw,hw->buw", found, jnp.concatenate(counts, axis=1))
            edges = list(itertools.accumulate(self.widths[m] for m in group))[:-1]
            for m, part in zip(group, jnp.split(merged, edges, axis=-1), strict=True):
                parts[m], place[m] = parts[m] + part, place[m] + 1
        hidden = Norm(name="norm_dense")(jnp.concatenate(parts, axis=-1))
        hidden = nn.relu(Linear(self.hidden, name="dense_0")(hidden))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        found = Linear(x.shape[-1], name="dense_1")(hidden)
        return x + nn.Dropout(self.dropout, deterministic=not train)(found), kept

    def _merging(self, versions):
        """The weight of each version [M, H, V], and the constant of each modality [M]."""
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


class Network(nn.Module):
    """All of FMT; attributes as in `FMT`. Parameters of the layers have these as first axis."""

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
    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any,
        train: bool,
        present: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        """Logits [B, U, C] and the state; arguments as in `System.__call__`."""
        state = state or {}
        back = band(reset, self.window, state.get("count"), self.ahead)
        there = [present.get(m, jnp.ones(reset.shape, bool)) for m in self.modalities]
        there = jnp.stack(there, axis=-1)
        parts = []
        for number, m in enumerate(self.modalities):
            own = there[..., number, None]
            x = jnp.where(own, features[m], 0)
            if m in self.widths:
                x = jnp.where(own, Linear(self.widths[m], name=f"project_{m}")(x), 0)
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
        kept = {
            "count": back.count,
            "there": keep(state.get("there"), there.astype(jnp.float32), self.window),
            "cells": cells,
            "memory": memory,
        }
        return Linear(self.classes, name="logits")(x), kept


class FMT(System):
    """Layers of attention within every set of modalities, then a GRU over the cells.

    Parameters lie under `answer`.

    Attributes:
        widths: features to which modalities are projected, by name; others stay as they are.
        layers: L.
        heads: of each group; each is as wide as the group.
        merge: units of the linear layers that merge a modality's versions, the last one, 1, left
            out; without activations.
        hidden: units between the dense layers.
        units: of the GRU.
        window: how many cells attention looks at, the own one included.
        ahead: whether it looks as far ahead as back, as the authors' does; the system is then not
            causal, and does not stream.
        dropout: rate, everywhere.
    """

    widths: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {"speech": 40, "visual": 80}
    )
    layers: int = 8
    heads: int = 4
    merge: tuple[int, ...] = (8, 20, 10)
    hidden: int = 512
    units: int = 800
    window: int = 64
    ahead: bool = False
    dropout: float = 0.0

    @property
    def causal(self) -> bool:
        """Not where it looks ahead."""
        return not self.ahead

    streams = causal

    def setup(self) -> None:
        """Makes the network.

        Raises:
            InputError: sizes that cannot be.
        """
        sizes = ("layers", "heads", "hidden", "units", "window")
        for name in sizes:
            check_size(f"network.{name}", getattr(self, name))
        for name, width in self.widths.items():
            check_size(f"network.widths.{name}", width)
        check_sizes("network.merge", self.merge)
        check_rate("network.dropout", self.dropout, below_one=True)
        sized = {
            name: getattr(self, name) for name in (*sizes, "widths", "merge", "ahead", "dropout")
        }
        self.answer = Network(self.modalities, self.classes, **sized)

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """`answer`'s logits [B, U, C]; see `System.__call__`.

        The state, float32: cells of the conversation so far [B]; of its last W cells which
        modalities were there [B, W, M], and what each layer's attention read [B, L, W, S]; and
        that of the GRU [B, units].
        """
        logits, state = self.answer(features, reset, state, train, present or {})
        return {"answer": logits}, state


def waves(position: Array, size: int) -> Array:
    """Sines on even features, cosines on odd ones, of a cell's number: [..., size] float32.

    Args:
        position: [...] float32, from 0.
        size: how many; the exponent of the rate of feature i is 2i / size.
    """
    number = jnp.arange(size)
    angles = position[..., None] * 1e4 ** (-2.0 * number / size)
    return jnp.where(number % 2 == 0, jnp.sin(angles), jnp.cos(angles))


def _groups(count: int) -> list[tuple[int, ...]]:
    """All sets of modalities, by size, then in order."""
    sizes = range(1, count + 1)
    return [group for size in sizes for group in itertools.combinations(range(count), size)]
