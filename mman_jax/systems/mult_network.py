"""The network of MulT: over rows of cells, or over the frames of each utterance."""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.band import after, band, keep
from mman_jax.layers.linear import Linear
from mman_jax.layers.transformer import Encoder, sinusoids
from mman_jax.systems.mult_frames import flat, last, lenient
from mman_jax.types import Array


class Network(nn.Module):
    """All of MulT; attributes as in `mman_jax.systems.mult.MulT`.

    Pairs of modalities have encoders of one shape: one module, whose parameters have the pairs
    (target, source) as their first axis, by targets and then by sources; likewise the encoders in
    which each target then looks at itself.
    """

    modalities: tuple[str, ...]
    classes: int
    units: int
    layers: int
    heads: int
    window: int
    cells: str
    language: str
    attention_dropout: float
    embed_dropout: float
    relu_dropout: float
    residual_dropout: float
    output_dropout: float

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
        # Parameters are those of cells, and are drawn as theirs.
        if self.cells == "frames" and not self.is_initializing():
            return self._of_frames(features, train, present), {}
        state = state or {}
        back = band(reset, self.window, state.get("count"))
        there = [present.get(m, jnp.ones(reset.shape, bool)) for m in self.modalities]
        there = jnp.stack(there, axis=-1)
        embedded = self._embed(features, back.position, there, train)
        known = after(state.get("there"), there.astype(jnp.float32))
        sources = after(state.get("sources"), embedded)
        crossed = self._cross(embedded, sources, back.seen, known > 0, train)
        found, own = self._own(crossed, back, state.get("own"), train)
        logits = self._answer(found, train)
        kept = {
            "count": back.count,
            "there": keep(state.get("there"), there.astype(jnp.float32), self.window),
            "sources": keep(state.get("sources"), embedded, self.window),
            "own": own,
        }
        return logits, kept

    def _of_frames(self, features, train, present):
        """Logits [B, U, C] of utterances by their own frames [B, U, F, D]."""
        cells = {m: flat(features[m], present.get(m)) for m in self.modalities}
        placed, lengths = {}, {}
        for m, (x, there) in cells.items():
            steps = jnp.arange(x.shape[1], dtype=jnp.float32)
            placed[m] = self._place(self._project(m, x, there, train), steps, there)
            lengths[m] = there.sum(-1)
        found = {m: [] for m in self.modalities}
        for pair, (target, other) in enumerate(_pairs(len(self.modalities))):
            m, s = self.modalities[target], self.modalities[other]
            x, source = (self._drop(placed[name], self.embed_dropout, train) for name in (m, s))
            seen = lenient(lengths[m], lengths[s], x.shape[1], source.shape[1])
            rate = self.attention_dropout * (s == self.language)
            found[m].append(self._encoder("cross", self.layers, pair, x, source, seen, rate, train))
        read = []
        for target, m in enumerate(self.modalities):
            x = jnp.concatenate(found[m], axis=-1)
            steps = jnp.arange(x.shape[1], dtype=jnp.float32)
            x = math.sqrt(x.shape[-1]) * x + sinusoids(steps + 1, x.shape[-1])
            x = self._drop(x, self.embed_dropout, train)
            seen = lenient(lengths[m], lengths[m], x.shape[1], x.shape[1])
            given = (x, None, seen, self.attention_dropout, train)
            x = self._encoder("own", self._own_layers, target, *given)
            read.append(last(x, lengths[m]))
        rows, utterances = features[self.modalities[0]].shape[:2]
        read = jnp.stack(read).reshape(len(read), rows, utterances, -1)
        return self._answer(read, train)

    def _encoder(self, name, layers, number, x, source, seen, rate, train):
        """One of several encoders of one shape, on sequences whose lengths are those of no other
        pair: with its share of their parameters."""
        shared = self.variables["params"][name]
        own = {"params": jax.tree.map(lambda leaf: leaf[number], shared)}
        rates = (self.relu_dropout, self.residual_dropout)
        encoder = Encoder(layers, self.heads, self.window, *rates, parent=None)
        keys = {"dropout": self.make_rng("dropout")} if train else None
        rate = jnp.float32(rate) if train else None
        return encoder.apply(own, x, source, seen, rate, rngs=keys)[0]

    def _embed(self, features, position, there, train):
        """Projected and placed, [B, U, M, d]; a cell without the modality is zero."""
        found = [
            self._project(m, features[m], there[..., number], train)
            for number, m in enumerate(self.modalities)
        ]
        return self._place(jnp.stack(found, axis=2), position[:, :, None], there)

    def _project(self, modality, x, there, train):
        """A modality in `units` features."""
        x = jnp.where(there[..., None], x, 0)
        if modality == self.language:
            x = self._drop(x, self.embed_dropout, train)
        if x.shape[-1] != self.units:
            x = Linear(self.units, use_bias=False, name=f"project_{modality}")(x)
        return x

    def _place(self, x, position, there):
        """With the position of each cell, zero where nothing is there."""
        placed = math.sqrt(self.units) * x + sinusoids(position + 1, self.units)
        return jnp.where(there[..., None], placed, 0)

    def _cross(self, embedded, sources, seen, known, train):
        """What each target found at its sources, one after the other: [M, B, U, (M - 1) d]."""
        names = self.modalities
        targets, others = zip(*_pairs(len(names)), strict=True)
        x, source = (
            self._drop(jnp.moveaxis(given[:, :, list(which)], 2, 0), self.embed_dropout, train)
            for given, which in ((embedded, targets), (sources, others))
        )
        seen = seen & jnp.moveaxis(known[:, :, list(others)], 2, 0)[:, :, None]
        rates = [self.attention_dropout * (names[o] == self.language) for o in others]
        rates = jnp.array(rates) if train else None
        encoders = self._encoders("cross", self.layers, (0, 0, 0, 0, None))
        found, _ = encoders(x, source, seen, rates, None)
        found = found.reshape(len(names), len(names) - 1, *found.shape[1:])
        return jnp.moveaxis(found, 1, 3).reshape(len(names), *found.shape[2:4], -1)

    def _own(self, crossed, back, kept, train):
        """Each target after it looked at itself, and what is kept of it."""
        size = crossed.shape[-1]
        placed = math.sqrt(size) * crossed + sinusoids(back.position + 1, size)
        placed = self._drop(placed, self.embed_dropout, train)
        rate = jnp.float32(self.attention_dropout) if train else None
        encoders = self._encoders("own", self._own_layers, (0, None, None, None, 1))
        found, kept = encoders(placed, None, back.seen, rate, kept)
        return found, kept

    def _answer(self, found, train):
        joined = jnp.moveaxis(found, 0, 2).reshape(*found.shape[1:3], -1)
        hidden = nn.relu(Linear(joined.shape[-1], name="dense_0")(joined))
        hidden = self._drop(hidden, self.output_dropout, train)
        joined = joined + Linear(joined.shape[-1], name="dense_1")(hidden)
        return Linear(self.classes, name="logits")(joined)

    def _encoders(self, name, layers, axes):
        many = nn.vmap(
            Encoder,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=axes,
            out_axes=(0, 1),
        )
        return many(
            layers, self.heads, self.window, self.relu_dropout, self.residual_dropout, name=name
        )

    @property
    def _own_layers(self):
        return max(self.layers, 3)

    def _drop(self, x, rate, train):
        return nn.Dropout(rate, deterministic=not train)(x)


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(m, s) for m in range(count) for s in range(count) if s != m]
