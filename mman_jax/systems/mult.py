"""MulT (Tsai et al. 2019), the paper's "MuT": cross-modal attention between pairs of modalities.

Sizes and rates are those of the authors' public code, whose networks read the words of one
utterance. Here a sequence is a row of cells. If cells are utterances, the network predicts every
utterance of a conversation, and attention sees the last `window` cells of the same conversation. If
cells are frames, an utterance is predicted from its own frames only, as in the authors' code: its
modalities are unaligned sequences of different lengths, and a target cell also sees some later
source cells (see `lenient`). Missing cells and padding are masked; the authors' code attends to
them. The input convolutions have a kernel of 1, as in that code: wider ones would read later cells.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.errors import InputError
from mman_jax.layers.attention import after, band, keep
from mman_jax.layers.dense import Linear
from mman_jax.layers.transformer import Encoder, sinusoids
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    FRAMES,
    SEVERAL,
    Ranges,
    RateBelowOne,
    Size,
    of_modality,
    one_of,
    one_stage,
)
from mman_jax.systems.step import Scope
from mman_jax.types import CELLS, Array, Inputs


class MulT(System):
    """Cross-modal transformers of all ordered pairs, then a transformer per target modality.

    Parameters are under `answer`.

    Attributes:
        units: d, features of a projected modality.
        layers: layers of a cross-modal encoder; self-attention encoders have at least 3.
        heads: heads of every attention, among which its features are divided.
        window: number of cells that attention sees, including the current one; over frames it sees
            all.
        cells: kind of cells: `utterances`, `words` or `frames`; an utterance's frames are
            [B, 1, F, D] with `present` [B, 1, F], where F differs between modalities.
        frames: number of frames of an utterance that are read, the last ones, by modality or
            `default`.
        language: the modality whose features are dropped at `embed_dropout` and whose
            cross-modal attention weights are dropped at `attention_dropout`.
        attention_dropout: rate on attention weights, for `language` and for self-attention.
        embed_dropout: rate on the inputs of encoders.
        relu_dropout: rate between an encoder's dense layers.
        residual_dropout: rate on the outputs that an encoder's layers add to their inputs.
        output_dropout: rate between the last dense layers.
    """

    paper = Citation(
        "MulT",
        "a cross-modal transformer per pair of modalities",
        "Tsai et al. 2019",
        {"binary4": ("90.7", "86.7", "72.4", "87.4")},
        cited_as="MulT, the paper's “MuT”",
        selection="lowest validation loss",
    )

    reads = frozenset({SEVERAL, FRAMES})

    units: Size = 30
    layers: Size = 5
    heads: Size = 5
    window: Size = 64
    cells: Annotated[str, one_of(*CELLS)] = "utterances"
    frames: Mapping[str, Size] = freeze({"default": 500, "text": 50, "speech": 375, "visual": 500})
    language: str = "text"
    attention_dropout: RateBelowOne = 0.1
    embed_dropout: RateBelowOne = 0.25
    relu_dropout: RateBelowOne = 0.1
    residual_dropout: RateBelowOne = 0.1
    output_dropout: RateBelowOne = 0.0

    ranges: ClassVar[Ranges] = {
        "network.units": {"choices": (20, 30, 40)},
        "network.layers": {"low": 2, "high": 6},
        "network.window": {"choices": (16, 64)},
    }

    training: ClassVar[dict[str, Any]] = one_stage(
        batch=1, falls_after=20, clip=0.8, epochs=40, patience=40
    )

    def frame_view(self, modality: str) -> dict[str, int]:
        """See `System.frame_view`."""
        return {"cells": of_modality("network.frames", self.frames, modality)}

    def setup(self) -> None:
        """Creates the network.

        Raises:
            InputError: `units` is not divisible by `heads`.
        """
        if self.units % self.heads:
            found = f"{self.heads} heads for {self.units} units"
            raise InputError("network.heads", found, "heads that divide the units evenly")
        self.answer = Scope()

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        The state, float32, has the number of cells of the conversation so far [B]; and for its last
        W cells the present modalities [B, W, M], their embeddings [B, W, M, d], and the inputs
        [B, M, L, W, (M - 1) d] of each self-attention layer. Over frames it is empty.
        """
        network = self._of_frames if self.cells == "frames" else self._of_cells
        logits, state = self.answer(network, inputs, state or {}, train)
        return {"answer": logits}, state

    # The encoders of all pairs of modalities have the same shape and form one module. The first
    # axis of its parameters is the pair (target, source), ordered by target, then by source.
    # Likewise, the first axis of the self-attention encoders is the target.

    @nn.nowrap
    def _of_cells(self, inputs, state, train):
        """Computes logits [B, U, C] and the state."""
        features, reset, present = inputs.features, inputs.reset, inputs.present
        back = band(reset, self.window, state.get("count"))
        masks = [present.get(m, jnp.ones(reset.shape, bool)) for m in self.modalities]
        there = jnp.stack(masks, axis=-1)
        projections = [
            self._project(m, features[m], there[..., number], train)
            for number, m in enumerate(self.modalities)
        ]
        embedded = placed(jnp.stack(projections, axis=2), back.position[:, :, None])
        embedded = jnp.where(there[..., None], embedded, 0)
        known = after(state.get("there"), there.astype(jnp.float32))
        sources = after(state.get("sources"), embedded)
        crossed = self._cross(embedded, sources, back.seen, known > 0, train)
        crossed = self._drop(placed(crossed, back.position), self.embed_dropout, train)
        rate = jnp.float32(self.attention_dropout) if train else None
        encoders = self._encoders("own", self._self_layers, (0, None, None, None, 1))
        attended, cached = encoders(crossed, None, back.seen, rate, state.get("own"))
        logits = self._answer(attended, train)
        after_row = {
            "count": back.count,
            "there": keep(state.get("there"), there.astype(jnp.float32), self.window),
            "sources": keep(state.get("sources"), embedded, self.window),
            "own": cached,
        }
        return logits, after_row

    @nn.nowrap
    def _of_frames(self, inputs, state, train):
        """Computes logits [B, U, C] of utterances from their frames [B, U, F, D]."""
        features, present = inputs.features, inputs.present
        if self.is_initializing():
            self._initialise_encoders()
        cells = {m: flat(features[m], present.get(m)) for m in self.modalities}
        embedded, lengths = {}, {}
        for m, (x, there) in cells.items():
            x = placed(self._project(m, x, there, train), jnp.arange(x.shape[1], dtype=jnp.float32))
            embedded[m] = jnp.where(there[..., None], x, 0)
            lengths[m] = there.sum(-1)
        crossed = {m: [] for m in self.modalities}
        for pair, (target, other) in enumerate(_pairs(len(self.modalities))):
            m, s = self.modalities[target], self.modalities[other]
            x, source = (self._drop(embedded[name], self.embed_dropout, train) for name in (m, s))
            seen = lenient(lengths[m], lengths[s], x.shape[1], source.shape[1])
            rate = self.attention_dropout * (s == self.language)
            x = self._encoder("cross", self.layers, pair, x, source, seen, rate, train)
            crossed[m].append(x)
        read = []
        for target, m in enumerate(self.modalities):
            x = jnp.concatenate(crossed[m], axis=-1)
            x = placed(x, jnp.arange(x.shape[1], dtype=jnp.float32))
            x = self._drop(x, self.embed_dropout, train)
            seen = lenient(lengths[m], lengths[m], x.shape[1], x.shape[1])
            arguments = (x, None, seen, self.attention_dropout, train)
            x = self._encoder("own", self._self_layers, target, *arguments)
            read.append(last(x, lengths[m]))
        rows, utterances = features[self.modalities[0]].shape[:2]
        read = jnp.stack(read).reshape(len(read), rows, utterances, -1)
        return self._answer(read, train), {}

    @nn.nowrap
    def _initialise_encoders(self):
        count = len(self.modalities)
        x = jnp.zeros((count * (count - 1), 1, 1, self.units))
        seen = jnp.ones((len(x), 1, 1, 1), bool)
        self._encoders("cross", self.layers, (0, 0, 0, 0, None))(x, x, seen, None, None)
        x = jnp.zeros((count, 1, 1, (count - 1) * self.units))
        axes = (0, None, None, None, 1)
        self._encoders("own", self._self_layers, axes)(x, None, seen[0], None, None)

    @nn.nowrap
    def _encoder(self, name, layers, number, x, source, seen, rate, train):
        """Runs one encoder of a module, on sequences whose lengths differ from the others'."""
        shared = self.answer.variables["params"][name]
        params = {"params": jax.tree.map(lambda leaf: leaf[number], shared)}
        rates = (self.relu_dropout, self.residual_dropout)
        encoder = Encoder(layers, self.heads, self.window, *rates, parent=None)
        keys = {"dropout": self.answer.make_rng("dropout")} if train else None
        rate = jnp.float32(rate) if train else None
        return encoder.apply(params, x, source, seen, rate, rngs=keys)[0]

    @nn.nowrap
    def _project(self, modality, x, there, train):
        """Projects a modality to `units` features."""
        x = jnp.where(there[..., None], x, 0)
        if modality == self.language:
            x = self._drop(x, self.embed_dropout, train)
        if x.shape[-1] != self.units:
            x = Linear(self.units, use_bias=False, name=f"project_{modality}")(x)
        return x

    @nn.nowrap
    def _cross(self, embedded, sources, seen, known, train):
        """Attends from each target to its sources; returns [M, B, U, (M - 1) d], concatenated."""
        names = self.modalities
        targets, others = zip(*_pairs(len(names)), strict=True)
        x, source = (
            self._drop(jnp.moveaxis(values[:, :, list(members)], 2, 0), self.embed_dropout, train)
            for values, members in ((embedded, targets), (sources, others))
        )
        seen = seen & jnp.moveaxis(known[:, :, list(others)], 2, 0)[:, :, None]
        rates = [self.attention_dropout * (names[o] == self.language) for o in others]
        rates = jnp.array(rates) if train else None
        encoders = self._encoders("cross", self.layers, (0, 0, 0, 0, None))
        crossed, _ = encoders(x, source, seen, rates, None)
        crossed = crossed.reshape(len(names), len(names) - 1, *crossed.shape[1:])
        return jnp.moveaxis(crossed, 1, 3).reshape(len(names), *crossed.shape[2:4], -1)

    @nn.nowrap
    def _answer(self, attended, train):
        joined = jnp.moveaxis(attended, 0, 2).reshape(*attended.shape[1:3], -1)
        hidden = nn.relu(Linear(joined.shape[-1], name="dense_0")(joined))
        hidden = self._drop(hidden, self.output_dropout, train)
        joined = joined + Linear(joined.shape[-1], name="dense_1")(hidden)
        return Linear(self.outputs, name="logits")(joined)

    @nn.nowrap
    def _encoders(self, name, layers, axes):
        split = {"params": True, "dropout": True}
        many = nn.vmap(
            Encoder, variable_axes={"params": 0}, split_rngs=split, in_axes=axes, out_axes=(0, 1)
        )
        rates = self.relu_dropout, self.residual_dropout
        return many(layers, self.heads, self.window, *rates, name=name)

    @property
    def _self_layers(self):
        return max(self.layers, 3)

    @nn.nowrap
    def _drop(self, x, rate, train):
        return nn.Dropout(rate, deterministic=not train)(x)


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(m, s) for m in range(count) for s in range(count) if s != m]


def placed(x: Array, position: Array) -> Array:
    """Scales cells [..., D] and adds encodings of their positions [...]."""
    size = x.shape[-1]
    return math.sqrt(size) * x + sinusoids(position + 1, size)


def flat(x: Array, present: Array | None) -> tuple[Array, Array]:
    """Returns frames [B, U, F, D] as sequences [B * U, F, D], and their mask [B * U, F].

    Padding follows the frames of an utterance; without `present` [B, U, F] all are present.
    """
    shape = (x.shape[0] * x.shape[1], x.shape[2])
    there = jnp.ones(shape, bool) if present is None else present.reshape(shape)
    return x.reshape(*shape, x.shape[-1]), there


def lenient(target: Array, source: Array, cells: int, others: int) -> Array:
    """Returns which source cells each target cell sees, [B, U, K] bool, by their lengths [B].

    It sees the cells up to its own index plus the difference of the lengths. U and K are the
    numbers of cells with padding.

    Examples:
        A sequence of two cells attends to one of three.

        >>> lenient(jnp.array([2]), jnp.array([3]), 2, 4)[0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    more = jnp.abs(target - source)[:, None, None]
    step, other = jnp.arange(cells)[:, None], jnp.arange(others)
    return (other <= step + more) & (other < source[:, None, None])


def last(x: Array, lengths: Array) -> Array:
    """Returns the last cell [B, D] of sequences [B, U, D]; 0 for a length of 0."""
    index = jnp.maximum(lengths - 1, 0)[:, None, None]
    cells = jnp.take_along_axis(x, index, axis=1)[:, 0]
    return jnp.where(lengths[:, None] > 0, cells, 0)
