"""MulT (Tsai et al. 2019), the paper's "MuT": each modality attends to each other one, by pairs.

Sizes and rates are those of the authors' public code, whose networks read the words of one
utterance. Here a sequence is a row of cells: over utterances a cell is an utterance of a
conversation, every cell is answered, and attention looks back, at the last `window` cells of its
own conversation. What is missing or padding is masked; the authors' code attends to it. The input
convolutions have a kernel of 1, as in that code: wider ones would look at later cells.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.errors import InputError
from mman_jax.layers.band import after, band, keep
from mman_jax.layers.linear import Linear
from mman_jax.layers.transformer import Encoder, sinusoids
from mman_jax.systems.base import System, check_rate, check_size
from mman_jax.types import Array


class Network(nn.Module):
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

    def _embed(self, features, position, there, train):
        """Projected and placed, [B, U, M, d]; a cell without the modality is zero."""
        found = []
        for number, m in enumerate(self.modalities):
            x = jnp.where(there[..., number, None], features[m], 0)
            if m == self.language:
                x = self._drop(x, self.embed_dropout, train)
            if x.shape[-1] != self.units:
                x = Linear(self.units, use_bias=False, name=f"project_{m}")(x)
            found.append(x)
        placed = math.sqrt(self.units) * jnp.stack(found, axis=2)
        placed = placed + sinusoids(position + 1, self.units)[:, :, None]
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
        encoders = self._encoders("own", max(self.layers, 3), (0, None, None, None, 1))
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

    def _drop(self, x, rate, train):
        return nn.Dropout(rate, deterministic=not train)(x)


class MulT(System):
    """Cross-modal transformers of all ordered pairs, then one a modality over what they found.

    Parameters lie under `answer`.

    Attributes:
        units: d, features of a projected modality.
        layers: of a cross-modal encoder; those in which a modality looks at itself have at least 3.
        heads: of every attention; they share its features among them.
        window: how many cells attention looks at, the own one included.
        language: the modality whose features are dropped at `embed_dropout`, and attention to
            which at `attention_dropout`; attention to the other ones is not.
        attention_dropout: rate on weights of attention, to `language` and to a modality itself.
        embed_dropout: rate on what an encoder reads.
        relu_dropout: rate between an encoder's dense layers.
        residual_dropout: rate on what an encoder's layers add.
        output_dropout: rate between the last dense layers.
    """

    units: int = 30
    layers: int = 5
    heads: int = 5
    window: int = 64
    language: str = "text"
    attention_dropout: float = 0.1
    embed_dropout: float = 0.25
    relu_dropout: float = 0.1
    residual_dropout: float = 0.1
    output_dropout: float = 0.0

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], classes: int
    ) -> "MulT":
        """The system of these sizes; what is left out has its default.

        Raises:
            InputError: one modality alone, a setting that the system has not, or of another type.
        """
        if len(modalities) < 2:
            found = f"{', '.join(modalities)} alone"
            raise InputError("modalities", found, "two or more: MulT attends between pairs")
        return super().from_settings(settings, modalities, classes)

    def setup(self) -> None:
        """Makes the network.

        Raises:
            InputError: sizes that cannot be.
        """
        sizes = ("units", "layers", "heads", "window")
        rates = ("attention", "embed", "relu", "residual", "output")
        for name in sizes:
            check_size(f"network.{name}", getattr(self, name))
        for name in rates:
            rate = getattr(self, f"{name}_dropout")
            check_rate(f"network.{name}_dropout", rate, below_one=True)
        if self.units % self.heads:
            found = f"{self.heads}, of {self.units} units"
            raise InputError("network.heads", found, "heads that divide the units evenly")
        given = (*sizes, "language", *(f"{name}_dropout" for name in rates))
        sized = {name: getattr(self, name) for name in given}
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
        modalities were there [B, W, M], their embeddings [B, W, M, d], and what each layer read
        in which a modality looks at itself, [B, M, L, W, (M - 1) d].
        """
        logits, state = self.answer(features, reset, state, train, present or {})
        return {"answer": logits}, state


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(m, s) for m in range(count) for s in range(count) if s != m]
