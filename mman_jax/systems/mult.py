"""MulT (Tsai et al. 2019), the paper's "MuT": each modality attends to each other one, by pairs.

Sizes and rates are those of the authors' public code, whose networks read the words of one
utterance. Here a sequence is a row of cells: over utterances a cell is an utterance of a
conversation, every cell is answered, and attention looks back, at the last `window` cells of its
own conversation. Over frames an utterance is answered from its own alone, as there: its modalities
are sequences of unequal lengths, aligned to nothing, of which the longer looks ahead of the shorter
(`lenient`). What is missing or padding is masked; the authors' code attends to it. The
input convolutions have a kernel of 1, as in that code: wider ones would look at later cells.
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
from mman_jax.systems.base import Citation, System
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
from mman_jax.types import CELLS, Array, Inputs


class MulT(System):
    """Cross-modal transformers of all ordered pairs, then one a modality over what they found.

    Parameters lie under `answer`.

    Attributes:
        units: d, features of a projected modality.
        layers: of a cross-modal encoder; those in which a modality looks at itself have at least 3.
        heads: of every attention; they share its features among them.
        window: how many cells attention looks at, the own one included; over frames all.
        cells: what a cell is: `utterances`, `words`, or `frames`, of which an utterance has
            [B, 1, F, D] with `present` [B, 1, F], F of each modality its own.
        frames: of a modality by its name, or `default`, how many frames of an utterance are kept,
            the last ones.
        language: the modality whose features are dropped at `embed_dropout`, and attention to
            which at `attention_dropout`; attention to the other ones is not.
        attention_dropout: rate on weights of attention, to `language` and to a modality itself.
        embed_dropout: rate on what an encoder reads.
        relu_dropout: rate between an encoder's dense layers.
        residual_dropout: rate on what an encoder's layers add.
        output_dropout: rate between the last dense layers.
    """

    paper = Citation(
        "MulT",
        "a cross-modal transformer a pair of modalities",
        "Tsai et al. 2019",
        {"binary4": ("90.7", "86.7", "72.4", "87.4")},
        cited_as="MulT, the paper's “MuT”",
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

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`."""
        return one_stage(batch=1, falls_after=20, clip=0.8, epochs=40, patience=40)

    def frame_view(self, modality: str) -> dict[str, int]:
        """See `System.frame_view`."""
        return {"cells": of_modality("network.frames", self.frames, modality)}

    def example(self, dims: Mapping[str, int], frames: bool = False) -> Inputs:
        """See `System.example`."""
        return super().example(dims, frames or self.cells == "frames")

    def setup(self) -> None:
        """Makes the network.

        Raises:
            InputError: the heads do not divide the units.
        """
        if self.units % self.heads:
            found = f"{self.heads}, of {self.units} units"
            raise InputError("network.heads", found, "heads that divide the units evenly")
        self.answer = _Network(
            modalities=self.modalities,
            classes=self.outputs,
            units=self.units,
            layers=self.layers,
            heads=self.heads,
            window=self.window,
            cells=self.cells,
            language=self.language,
            attention_dropout=self.attention_dropout,
            embed_dropout=self.embed_dropout,
            relu_dropout=self.relu_dropout,
            residual_dropout=self.residual_dropout,
            output_dropout=self.output_dropout,
        )

    def __call__(
        self, inputs: Inputs, state: Any = None, train: bool = False
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        The state, float32: cells of the conversation so far [B]; of its last W cells the present
        modalities [B, W, M], their embeddings [B, W, M, d], and the inputs [B, M, L, W, (M - 1) d]
        of each layer in which a modality attends to itself. Over frames there is none.
        """
        logits, state = self.answer(inputs, state, train)
        return {"answer": logits}, state


class _Network(nn.Module):
    """All of MulT; attributes as in `MulT`.

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
    def __call__(self, inputs: Inputs, state: Any, train: bool) -> tuple[Array, dict[str, Array]]:
        """Computes logits [B, U, C] and the state; see `System.__call__`."""
        features, _, reset, present = inputs
        if self.cells == "frames":
            return self._of_frames(features, train, present), {}
        state = state or {}
        back = band(reset, self.window, state.get("count"))
        masks = [present.get(m, jnp.ones(reset.shape, bool)) for m in self.modalities]
        there = jnp.stack(masks, axis=-1)
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
        """Computes logits [B, U, C] of utterances from their frames [B, U, F, D]."""
        if self.is_initializing():
            self._initialise_encoders()
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

    def _initialise_encoders(self):
        count = len(self.modalities)
        x = jnp.zeros((count * (count - 1), 1, 1, self.units))
        seen = jnp.ones((len(x), 1, 1, 1), bool)
        self._encoders("cross", self.layers, (0, 0, 0, 0, None))(x, x, seen, None, None)
        x = jnp.zeros((count, 1, 1, (count - 1) * self.units))
        axes = (0, None, None, None, 1)
        self._encoders("own", self._own_layers, axes)(x, None, seen[0], None, None)

    def _encoder(self, name, layers, number, x, source, seen, rate, train):
        """Runs one of several encoders of equal shapes, on sequences of lengths of their own."""
        shared = self.variables["params"][name]
        own = {"params": jax.tree.map(lambda leaf: leaf[number], shared)}
        rates = (self.relu_dropout, self.residual_dropout)
        encoder = Encoder(layers, self.heads, self.window, *rates, parent=None)
        keys = {"dropout": self.make_rng("dropout")} if train else None
        rate = jnp.float32(rate) if train else None
        return encoder.apply(own, x, source, seen, rate, rngs=keys)[0]

    def _embed(self, features, position, there, train):
        """Returns projections with positions, [B, U, M, d]; zero where a modality is missing."""
        found = [
            self._project(m, features[m], there[..., number], train)
            for number, m in enumerate(self.modalities)
        ]
        return self._place(jnp.stack(found, axis=2), position[:, :, None], there)

    def _project(self, modality, x, there, train):
        """Projects a modality to `units` features."""
        x = jnp.where(there[..., None], x, 0)
        if modality == self.language:
            x = self._drop(x, self.embed_dropout, train)
        if x.shape[-1] != self.units:
            x = Linear(self.units, use_bias=False, name=f"project_{modality}")(x)
        return x

    def _place(self, x, position, there):
        """Adds the position of each cell; zero where it is missing."""
        placed = math.sqrt(self.units) * x + sinusoids(position + 1, self.units)
        return jnp.where(there[..., None], placed, 0)

    def _cross(self, embedded, sources, seen, known, train):
        """Attends from each target to its sources; concatenated, [M, B, U, (M - 1) d]."""
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
        """Attends from each target to itself; also returns the cells to cache."""
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


def flat(x: Array, present: Array | None) -> tuple[Array, Array]:
    """Returns frames [B, U, F, D] as sequences [B * U, F, D], and their mask [B * U, F].

    Args:
        x: the frames, those of an utterance first, then padding.
        present: [B, U, F] bool; None: all are there.
    """
    shape = (x.shape[0] * x.shape[1], x.shape[2])
    there = jnp.ones(shape, bool) if present is None else present.reshape(shape)
    return x.reshape(*shape, x.shape[-1]), there


def lenient(target: Array, source: Array, cells: int, others: int) -> Array:
    """Returns which source cells each target cell sees: the earlier ones, and as many later ones as
    the lengths differ by.

    Args:
        target: [B] int, lengths.
        source: [B] int, lengths.
        cells: U, of the target with its padding.
        others: K, of the source with its padding.

    Returns:
        [B, U, K] bool.

    Examples:
        A sequence of two cells looks at one of three.

        >>> lenient(jnp.array([2]), jnp.array([3]), 2, 4)[0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    more = jnp.abs(target - source)[:, None, None]
    step, other = jnp.arange(cells)[:, None], jnp.arange(others)
    return (other <= step + more) & (other < source[:, None, None])


def last(x: Array, lengths: Array) -> Array:
    """Returns the last cell [B, D] of sequences [B, U, D]; 0 for a length of 0."""
    index = jnp.maximum(lengths - 1, 0)[:, None, None]
    found = jnp.take_along_axis(x, index, axis=1)[:, 0]
    return jnp.where(lengths[:, None] > 0, found, 0)
