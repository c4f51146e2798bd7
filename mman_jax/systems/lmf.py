"""LMF, low-rank multimodal fusion (Liu et al. 2018): a factorised tensor of all modalities.

Sizes and rates are those of the authors' public code for IEMOCAP's "neutral", whose network reads
one utterance: its words by an LSTM, speech and faces as one vector each. Here a sequence is a row
of cells. If cells are words, the LSTM runs over the words of an utterance, and the other modalities
are averaged over the words so far. If cells are utterances, the LSTM runs over the conversation,
and the other modalities have one vector per utterance. Two things differ from that code: there is
no batch normalisation (features here are already standardised), and a dropout after the fusion,
which that code creates but never uses, is left out.
"""

import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.layers.recurrent import LSTM
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    SEVERAL,
    Ranges,
    Rate,
    Size,
    around,
    find_pivot,
    of_modality,
    one_of,
    one_stage,
)
from mman_jax.types import Array, Inputs


class LMF(System):
    """A product over modalities of their projections, summed over the ranks of a tensor.

    Parameters are under `lstm`, `code`, `network_<modality>`, `factors` and `answer`.

    Attributes:
        pivot: the modality that the LSTM reads; if empty, `text`, or the first one if there is no
            text.
        hidden: H of the LSTM.
        code: units of the linear layer after the LSTM.
        sizes: units of the dense layers of the other modalities, by name or `default`.
        rank: R, the rank of the tensor.
        dropout: rate on the inputs of the other modalities, and after the LSTM.
        context: whether the LSTM keeps its state from cell to cell.
        cells: kind of cells, `utterances` or `words`.
    """

    paper = Citation(
        "LMF",
        "a low-rank tensor of all modalities, with an LSTM over the text",
        "Liu et al. 2018",
    )

    reads = frozenset({SEVERAL})

    pivot: str = ""
    hidden: Size = 64
    code: Size = 32
    sizes: Mapping[str, Size] = freeze({"default": 8, "speech": 32, "visual": 8})
    rank: Size = 16
    dropout: Rate = 0.2
    context: bool = True
    cells: Annotated[str, one_of("utterances", "words")] = "utterances"

    ranges: ClassVar[Ranges] = {
        "network.hidden": around(64, 0.5, 4),
        "network.code": around(32, 0.5, 4),
        "network.rank": around(16, 0.25, 2),
        "train.all.weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
    }

    # The authors' L2, divided by their batch size, because losses here are means.
    training: ClassVar[dict[str, Any]] = one_stage(
        batch=1, epochs=500, patience=20,
        optimizer="adam_l2", weight_decay=2e-3 / 16,
        learning_rate={"default": 5e-4, "factors": 3e-3},
    )  # fmt: skip

    @property
    def in_context(self) -> bool:
        """See `System.in_context`."""
        return self.context

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        A missing modality contributes only the constant 1, so that the product of the others
        remains.
        """
        features, mask, reset, present = inputs[:4]
        state = state or {}

        def drop(x):
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        pivot = find_pivot(self.pivot, self.modalities)
        mask, text = present.get(pivot), features[pivot]
        text = text if mask is None else jnp.where(mask[..., None], text, 0)
        starts = reset if self.context else jnp.ones_like(reset)
        read, last = LSTM(self.hidden, name="lstm")(text, starts, mask, state.get("lstm"))
        after = {"lstm": last}
        codes = {pivot: _with_one(nn.Dense(self.code, name="code")(drop(read)), mask)}
        for m in self.modalities:
            if m == pivot:
                continue
            mask = present.get(m, jnp.ones(reset.shape, bool))
            x = jnp.where(mask[..., None], features[m], 0)
            if self.cells == "words":
                x, mask, after[m] = _means(x, mask, reset, state.get(m))
            size = of_modality("network.sizes", self.sizes, m)
            codes[m] = _with_one(_Network(size, name=f"network_{m}")(drop(x)), mask)
        terms = _Factors(self.rank, self.outputs, name="factors")(codes)  # [B, U, R, C]
        return {"answer": _Sum(name="answer")(terms)}, after


class _Network(nn.Module):
    """Three dense layers with relu."""

    size: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [..., D] to [..., size]."""
        for number in range(3):
            x = nn.relu(nn.Dense(self.size, name=f"dense_{number}")(x))
        return x


class _Factors(nn.Module):
    """The factor [R, K, C] of the tensor for each modality."""

    rank: int
    classes: int

    @nn.compact
    def __call__(self, codes: Mapping[str, Array]) -> Array:
        """Multiplies the projections of all modalities' codes [B, U, K] to [B, U, R, C]."""
        projections = []
        for modality, code in codes.items():
            shape = (self.rank, code.shape[-1], self.classes)
            deviation = math.sqrt(2 / (self.classes * (code.shape[-1] + self.rank)))
            factor = self.param(modality, nn.initializers.normal(deviation), shape)
            projections.append(jnp.einsum("buk,rkc->burc", code, factor))
        return functools.reduce(jnp.multiply, projections)


class _Sum(nn.Module):
    """A weighted sum over the ranks, and a bias."""

    @nn.compact
    def __call__(self, terms: Array) -> Array:
        """Maps [B, U, R, C] to [B, U, C]."""
        *_, rank, classes = terms.shape
        initializer = nn.initializers.normal(math.sqrt(2 / (rank + 1)))
        weights = self.param("weights", initializer, (1, rank))
        bias = self.param("bias", nn.initializers.zeros, (classes,))
        return jnp.einsum("burc,r->buc", terms, weights[0]) + bias


def _with_one(code: Array, mask: Array | None) -> Array:
    """Prepends a 1 to a code [B, U, K], which is set to zero where `mask` [B, U] is False."""
    code = code if mask is None else jnp.where(mask[..., None], code, 0)
    return jnp.concatenate([jnp.ones_like(code[..., :1]), code], axis=-1)


def _means(
    x: Array, mask: Array, reset: Array, state: tuple[Array, Array] | None
) -> tuple[Array, Array, tuple[Array, Array]]:
    """Returns means [B, U, D] over the masked cells since the last reset.

    Also returns whether a mean has any cells [B, U], and the state after the last cell: sum [B, D]
    and count [B, 1]. `x` is zero outside the mask.
    """
    summed = jnp.concatenate([x, mask[..., None].astype(x.dtype)], axis=-1)
    if state is not None:
        before = jnp.concatenate(state, axis=-1)
        summed = summed.at[:, 0].add(jnp.where(reset[:, :1], 0, before))

    def add(left, right):
        (x, starts), (y, begins) = left, right
        return jnp.where(begins, y, x + y), starts | begins

    summed, _ = jax.lax.associative_scan(add, (summed, reset[..., None]), axis=1)
    total, count = summed[..., :-1], summed[..., -1:]
    return total / jnp.maximum(count, 1), count[..., 0] > 0, (total[:, -1], count[:, -1])
