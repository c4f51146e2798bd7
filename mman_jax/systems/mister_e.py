"""MiSTER-E (Dutta, Balaji and Ganapathy 2026): gated experts over two modalities.

An expert for each modality reads its context by convolutions and GRUs, a third one lets the two
modalities attend to each other, and a gate mixes their logits. `MisterE` is the published form,
which sees later utterances; in `MisterECausal` convolutions, GRUs and attention look back only, so
that it answers turn by turn.

The authors' features come from large language models; any vectors can be used here. Training
follows the authors' public code, with three differences: the focal and contrastive losses count
only scored utterances, whereas padding is a separate class in that code; the agreement of the
experts is summed over real utterances and divided by the number of conversations; and the gate
ignores missing modalities.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import Band, after, band, keep, multihead
from mman_jax.layers.dense import Linear, uniform
from mman_jax.layers.recurrent import GRU, backwards
from mman_jax.systems.base import Losses, Outputs, Stage, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import PAIR, Ranges, Rate, Size, around, one_stage
from mman_jax.systems.step import Scope
from mman_jax.types import Array, Inputs, is_scored

BOTH, ANSWER = "both", "answer"
_TAPS = (1, 3, 5)
_GATE = 10
_TEMPERATURE = 2.0
_ABSENT = -1e30


class MisterE(System):
    """The published form, which sees later utterances. Parameters are under `answer`.

    Attributes:
        context: H; the layers of the experts for one modality have 2H units.
        layers: number of layers of GRUs.
        size: units of a modality's vectors in the expert for both.
        inner: units of its attention, rounded down to a multiple of `heads`.
        heads: heads of its attention.
        units: number of units in that expert.
        window: number of utterances that the causal form attends to, the current one included.
        dropout: rate on the output of each attention.
    """

    paper = Citation(
        "MiSTER-E",
        "a gate over experts for context and for both modalities; sees later utterances",
        "Dutta et al. 2026",
        {"iemocap6": ("70.9",), "meld7": ("69.5",)},
        by_name=True,
        selection="best on the test part, by the public code",
    )

    context: Size = 512
    layers: Size = 3
    size: Size = 1024
    inner: Size = 120
    heads: Size = 3
    units: Size = 4
    window: Size = 64
    dropout: Rate = 0.5

    causal: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({PAIR})
    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes"})
    cell_kinds: ClassVar[frozenset[str]] = frozenset({"utterances"})

    ranges: ClassVar[Ranges] = {
        "network.context": around(512, 0.1, 1),
        "network.size": around(1024, 0.1, 1),
        "network.units": {"low": 1, "high": 4},
        "network.layers": {"low": 1, "high": 3},
    }

    training: ClassVar[dict[str, Any]] = one_stage(
        batch=8, epochs=100, patience=10, clip=1.0, learning_rate={"default": 1e-5}
    ) | {"focal": 3.0}

    def stages(self) -> tuple[Stage, ...]:
        """Returns one stage; all experts share the layers of `answer`."""
        return (Stage("all", "__call__", (*self.modalities, BOTH, ANSWER)),)

    def losses(self, outputs: Mapping[str, Array], inputs: Inputs, labels: Array) -> Losses:
        """Returns the contrastive loss of the vectors, and the disagreement of the experts.

        The contrastive loss pulls together vectors of both modalities with the same label, among
        the utterances of a device's rows.
        """
        experts = [jax.nn.log_softmax(outputs[name]) for name in (*self.modalities, BOTH)]
        pairs = [(a, b) for i, a in enumerate(experts) for b in experts[:i]]
        apart = sum(jnp.sum((jnp.exp(a) - jnp.exp(b)) * (a - b), axis=-1) for a, b in pairs)
        disagreement = jnp.sum(jnp.where(inputs.mask, apart, 0)) / len(pairs)
        conversations = jnp.sum(inputs.reset & inputs.mask, dtype=jnp.float32)
        return {
            "contrastive": contrast(outputs["vectors"], labels),
            "disagreement": (0.1 * disagreement, conversations),
        }

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of the experts and of `answer`; see `System.__call__`.

        In training the outputs also contain the modalities' `vectors` [B, U, 2, size] for `losses`.
        """
        outputs, after_row = Scope(name=ANSWER)(self._network, inputs, state or {}, train)
        if not train:
            del outputs["vectors"]
        return outputs, after_row if self.causal else None

    @nn.nowrap
    def _network(self, inputs, state, train) -> tuple[dict[str, Array], dict[str, Any]]:
        cells = inputs.reset.shape[1]
        window = self.window if self.causal else cells
        visible = band(inputs.reset, window, state.get("count"), ahead=not self.causal)
        there = [inputs.present.get(m, inputs.mask) & inputs.mask for m in self.modalities]
        features = [
            jnp.where(mask[..., None], inputs.features[m], 0)
            for m, mask in zip(self.modalities, there, strict=True)
        ]
        heard = jnp.stack(there, axis=-1).astype(jnp.float32)
        known = after(state.get("there"), heard) > 0
        logits, last = {}, {}
        for m, x in zip(self.modalities, features, strict=True):
            expert = Context(self.context, self.layers, self.outputs, self.causal, name=f"of_{m}_")
            logits[m], last[m] = expert(
                x, inputs.mask, inputs.reset, state.get(m, {}), state.get("count")
            )
        sizes = (self.size, self.inner, self.heads, self.units, self.outputs, self.window)
        exchange = Exchange(*sizes, self.dropout, name="exchange")
        masks, before = [known[..., i] for i in range(len(there))], state.get(BOTH, {})
        logits[BOTH], vectors, last[BOTH] = exchange(features, visible, masks, before, train)
        order = (*self.modalities[::-1], BOTH)
        experts = jnp.stack([logits[name] for name in order], axis=-1)
        joined = experts.swapaxes(-1, -2).reshape(*experts.shape[:2], -1)
        gate = Linear(experts.shape[-1], name="gate_1")(
            nn.relu(Linear(_GATE, name="gate_0")(joined))
        )
        votes = jnp.stack([*there[::-1], there[0] | there[1]], axis=-1)
        weights = jax.nn.softmax(jnp.where(votes, gate / _TEMPERATURE, _ABSENT), axis=-1)
        logits[ANSWER] = jnp.sum(weights[..., None, :] * experts, axis=-1)
        last |= {"count": visible.count, "there": keep(state.get("there"), heard, self.window)}
        logits["vectors"] = jnp.stack(vectors, axis=2)
        return logits, last


class MisterECausal(MisterE):
    """The causal form: convolutions, GRUs and attention look back only."""

    paper = Citation(
        "MiSTER-E (causal)",
        "a gate over experts for context and for both modalities",
        "Dutta et al. 2026",
        by_name=True,
    )

    causal: ClassVar[bool] = True
    streams: ClassVar[bool] = True


class Context(nn.Module):
    """The expert for one modality: convolutions, GRUs and a linear skip, of 2H units."""

    size: int  # H
    layers: int
    outputs: int
    causal: bool

    @nn.compact
    def __call__(
        self, x: Array, mask: Array, reset: Array, state: Mapping[str, Any], count: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        """Computes logits [B, U, C] and the state, given [B, U, D] and bool [B, U].

        `count` [B] is the number of the conversation's cells before the row, or None.
        """
        cells, width = x.shape[1], 2 * self.size
        segments = jnp.where(mask, jnp.cumsum(reset, axis=1), -1)
        cached = state.get("inputs")
        if count is not None:
            age = jnp.arange(max(_TAPS) - 1, 0, -1)
            segments = jnp.concatenate([jnp.where(age <= count[:, None], 0, -1), segments], axis=1)
        sources = after(cached, x)
        y = jnp.zeros((*x.shape[:2], width))
        for taps in _TAPS:
            convolution = Convolution(width, taps, self.causal, name=f"convolution_{taps}")
            y = y + nn.relu(convolution(sources, segments, cells))
        last = {"inputs": keep(cached, x, max(_TAPS) - 1)}
        for layer in range(self.layers):
            name = f"gru_{layer}"
            if self.causal:
                y, last[name] = GRU(width, name=name)(y, reset, mask, state.get(name))
            else:
                forward, _ = GRU(self.size, name=f"{name}_forward")(y, reset, mask)
                reverse, _ = GRU(self.size, name=f"{name}_backward")(
                    y[:, ::-1], backwards(reset), mask[:, ::-1]
                )
                y = jnp.concatenate([forward, reverse[:, ::-1]], axis=-1)
        y = y + Linear(width, name="skip")(x)
        return Linear(self.outputs, name="logits")(y), last


class Attend(nn.Module):
    """Attention of the units, with separate projections, and dropout on the weights."""

    heads: int
    size: int

    @nn.compact
    def __call__(self, queries: Array, cells: Array, seen: Array, train: bool) -> Array:
        """Returns [B, U, size], given queries [B, U, N] and keys and values [B, K, 2N]."""
        width = queries.shape[-1]
        kernel = self.param("kernel", nn.initializers.xavier_uniform(), (width, 3 * width))
        bias = self.param("bias", nn.initializers.zeros_init(), (3 * width,))
        keys, values = jnp.split(cells, 2, axis=-1)
        drop = nn.Dropout(0.1, deterministic=not train)
        queries, keys, values = (
            x @ kernel[:, i * width : (i + 1) * width] + bias[i * width : (i + 1) * width]
            for i, x in enumerate((queries, keys, values))
        )
        attended = multihead(queries, keys, values, self.heads, seen, drop)
        return Linear(self.size, name="expand")(Linear(width, name="output")(attended))


class Exchange(nn.Module):
    """The expert for both modalities: units in which they attend to each other, then to themselves.

    The attributes are those of `MisterE`.
    """

    size: int
    inner: int
    heads: int
    units: int
    outputs: int
    window: int
    dropout: float

    @nn.compact
    def __call__(
        self,
        features: list[Array],
        visible: Band,
        known: list[Array],
        state: Mapping[str, Array],
        train: bool,
    ) -> tuple[Array, list[Array], dict[str, Array]]:
        """Computes logits [B, U, C], the vectors [B, U, size] of each modality, and the state.

        The features of a modality are [B, U, D], and `known` [B, K] bool are its present cells.
        """
        vectors = [Linear(self.size, name=f"project_{i}")(x) for i, x in enumerate(features)]
        last: dict[str, Array] = {}
        for unit in range(self.units):
            for kind in ("cross", "self"):
                place = f"unit_{unit}_{kind}"
                vectors, cached = self._attend(place, vectors, visible, known, state, train)
                last |= cached
        vectors = [
            x + Linear(self.size, name=f"again_{i}")(features[i]) for i, x in enumerate(vectors)
        ]
        joined = nn.LayerNorm(1e-6, name="norm")(jnp.concatenate(vectors, axis=-1))
        hidden = nn.relu(Linear(self.size, name="dense")(joined))
        return Linear(self.outputs, name="logits")(hidden), vectors, last

    def _attend(self, place, vectors, visible, known, state, train):
        width, last, updated = self.inner // self.heads * self.heads, {}, []
        queries, cells = [], []
        for i, x in enumerate(vectors):
            name = f"{place}_{i}"
            queries.append(Linear(width, name=f"{name}_query")(x))
            both = [Linear(width, name=f"{name}_{part}")(x) for part in ("key", "value")]
            now = jnp.concatenate(both, axis=-1)
            cells.append(after(state.get(name), now))
            last[name] = keep(state.get(name), now, self.window)
        for i, x in enumerate(vectors):
            source = 1 - i if place.endswith("cross") else i
            seen = visible.seen & known[source][:, None]
            attend = Attend(self.heads, self.size, name=f"{place}_{i}")
            output = attend(queries[i], cells[source], seen, train)
            output = nn.Dropout(self.dropout, deterministic=not train)(output)
            updated.append(nn.LayerNorm(1e-6, name=f"{place}_{i}_norm")(x + output))
        return updated, last


class Convolution(nn.Module):
    """A convolution over `taps` utterances of a conversation; other cells count as zeros.

    If it is causal, the last tap is the current utterance, otherwise the middle one.
    """

    size: int
    taps: int
    causal: bool

    @nn.compact
    def __call__(self, x: Array, segment: Array, cells: int) -> Array:
        """Returns [B, U, size] float32 for the last U cells of x [B, K, D].

        `segment` [B, K] is the number of the conversation; cells of -1 count as zeros.
        """
        shape = (self.taps, x.shape[-1], self.size)
        start = uniform(x.shape[-1] * self.taps)
        kernel = self.param("kernel", start, shape)
        output = self.param("bias", start, (self.size,))
        before = self.taps - 1 if self.causal else self.taps // 2
        padded = jnp.pad(x, ((0, 0), (before, self.taps), (0, 0)))
        other = jnp.pad(segment, ((0, 0), (before, self.taps)), constant_values=-1)
        first = x.shape[1] - cells
        here = segment[:, first:]
        for tap in range(self.taps):
            window = slice(first + tap, first + tap + cells)
            inside = (other[:, window] == here) & (here >= 0)
            output = output + jnp.where(inside[..., None], padded[:, window], 0) @ kernel[tap]
        return output


def contrast(vectors: Array, labels: Array) -> tuple[Array, Array]:
    """Computes twice the supervised contrastive loss, a sum over vectors and their number.

    Vectors are [B, U, 2, D], and labels [B, U] int32.
    """
    size = vectors.shape[-1]
    norms = jnp.sqrt(jnp.maximum(jnp.sum(vectors**2, axis=-1, keepdims=True), 1e-24))
    flat, of_vector = (vectors / norms).reshape(-1, size), jnp.repeat(labels.reshape(-1), 2)
    scored = is_scored(of_vector)
    others = ~jnp.eye(len(flat), dtype=bool) & scored
    similar = jnp.where(others, flat @ flat.T, _ABSENT)
    log_shares = similar - jax.nn.logsumexp(similar, axis=1, keepdims=True)
    positive = others & (of_vector[:, None] == of_vector)
    means = jnp.sum(jnp.where(positive, log_shares, 0), axis=1) / jnp.maximum(positive.sum(1), 1)
    return -2 * jnp.sum(jnp.where(scored, means, 0)), jnp.sum(scored, dtype=jnp.float32)
