"""The network of Tripathi and Beigi (2018), the paper's [12]: concatenation without context.

The branch of each modality ends in a linear layer; dense layers predict the labels from the
concatenated outputs. If cells are frames, the branches are those of the authors: two LSTMs for
words, an LSTM and an attention decoder for speech, and for faces (motion capture in their data)
convolutions over an utterance divided into equal parts. If cells are utterances, a branch reads the
vector of the utterance.

The branches differ from the authors' code in four ways: words are given as vectors, whereas the
authors train an embedding; the LSTMs have two biases, which is equivalent; their recurrence has no
dropout; and missing frames and padding are masked.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.layers.attention import weigh
from mman_jax.layers.recurrent import FramesLSTM
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    FRAMES,
    Ranges,
    Rate,
    Size,
    Sizes,
    around,
    of_modality,
    one_of,
    one_stage,
)
from mman_jax.types import CELLS, Array, Inputs

_GLOROT = nn.initializers.glorot_uniform()
_KINDS = ("recurrent", "attended", "convolved")


class Tripathi(System):
    """A branch per modality, concatenated, and dense layers.

    Parameters are under `linear_<modality>` (over frames `branch_<modality>`), `dense` and
    `answer`.

    Attributes:
        units: units of each modality's linear layer and of the dense layer.
        dropout: rate after each of these layers; over frames, inside the branches.
        cells: kind of cells, `utterances`, `words` or `frames`.
        branches: kind of branch over frames, by modality or `default`: `recurrent`, `attended` or
            `convolved`.
        words: maximum number of frames, from the end, that a recurrent branch reads.
        frames: maximum number of frames, from the start, that an attended branch reads.
        parts: number of parts over which an utterance's frames are averaged for a convolved branch.
        recurrent: H of the LSTMs of a recurrent branch.
        attended: H of the LSTM and the decoder of an attended branch.
        channels: channels of each convolution of a convolved branch.
    """

    paper = Citation(
        "Tripathi",
        "dense layers, concatenated; no context",
        "Tripathi and Beigi 2018",
        {"iemocap": ("71.04",)},
        selection="best of 20 on the test session",
    )

    units: Size = 256
    dropout: Rate = 0.2
    cells: Annotated[str, one_of(*CELLS)] = "utterances"
    branches: Mapping[str, Annotated[str, one_of(*_KINDS)]] = freeze(
        {"default": "attended", "text": "recurrent", "speech": "attended", "visual": "convolved"}
    )
    words: Size = 50
    frames: Size = 100
    parts: Size = 200
    recurrent: Size = 256
    attended: Size = 128
    channels: Sizes = (32, 64, 64, 128, 128)

    in_context: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({FRAMES})

    ranges: ClassVar[Ranges] = {"network.units": around(256, 0.2, 2)}

    training: ClassVar[dict[str, Any]] = one_stage(batch=3, epochs=30, patience=30)

    def frame_view(self, modality: str) -> dict[str, int]:
        """See `System.frame_view`."""
        return {
            "recurrent": {"cells": self.words},
            "attended": {"first": self.frames},
            "convolved": {"parts": self.parts},
        }[self._kind(modality)]

    def setup(self) -> None:
        """Creates the layers."""
        if self.cells == "frames":
            self.branch = {m: self._branch(m) for m in self.modalities}
        else:
            self.linear = {m: nn.Dense(self.units) for m in self.modalities}
        self.dense = nn.Dense(self.units)
        self.answer = nn.Dense(self.outputs)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`. There is no state."""
        features, over_frames, branches = inputs.features, self.cells == "frames", []
        for m in self.modalities:
            x, mask = features[m], inputs.present.get(m)
            mask = jnp.ones(x.shape[:-1], bool) if mask is None else mask
            x = jnp.where(mask[..., None], x, 0)
            hidden = self.branch[m](x, mask, train) if over_frames else self.linear[m](x)
            there = mask.any(-1, keepdims=True) if over_frames else mask[..., None]
            hidden = jnp.where(there, hidden, 0)  # including the bias
            branches.append(hidden if over_frames else self.drop(hidden, not train))
        hidden = nn.relu(self.dense(nn.relu(jnp.concatenate(branches, axis=-1))))
        return {"answer": self.answer(hidden if over_frames else self.drop(hidden, not train))}, ()

    def _branch(self, modality):
        both = {"units": self.units, "dropout": self.dropout}
        return {
            "recurrent": lambda: _Recurrent(self.recurrent, **both),
            "attended": lambda: _Attended(self.frames, self.attended, **both),
            "convolved": lambda: _Convolved(self.parts, tuple(self.channels), **both),
        }[self._kind(modality)]()

    def _kind(self, modality):
        return of_modality("network.branches", self.branches, modality)


class _Recurrent(nn.Module):
    """The authors' branch for words: two LSTMs, and a linear layer on the last state."""

    hidden: int
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """Reads frames [B, U, F, D] with `present` [B, U, F]; returns [B, U, units]."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        starts = jnp.zeros(present.shape, bool)
        hidden, _ = FramesLSTM(self.hidden, name="lstm_0")(frames, starts, present)
        _, (hidden, _) = FramesLSTM(self.hidden, name="lstm_1")(drop(hidden), starts, present)
        return nn.Dense(self.units, name="linear")(drop(hidden))


class _Attended(nn.Module):
    """The branch for speech: an LSTM, an attention decoder, and a linear layer on all steps."""

    frames: int
    hidden: int
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """Reads frames [B, U, F, D] with `present` [B, U, F]; returns [B, U, units]."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        frames, present = _fitted(frames, present, self.frames)
        starts = jnp.zeros(present.shape, bool)
        hidden, _ = FramesLSTM(self.hidden, name="lstm")(frames, starts, present)
        flat = hidden.reshape(-1, *hidden.shape[2:])
        decoder = _AttentionDecoder(self.hidden, name="decoder")
        hidden = decoder(drop(flat), present.reshape(flat.shape[:2]))
        hidden = drop(hidden).reshape(*present.shape[:2], -1)
        return nn.Dense(self.units, name="linear")(hidden)


class _Convolved(nn.Module):
    """The branch for faces: convolutions over frames and features, and a linear layer.

    The convolutions are 3 x 3, with a stride of 2.
    """

    parts: int
    channels: tuple[int, ...]
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """Reads frames [B, U, F, D] with `present` [B, U, F]; returns [B, U, units]."""
        frames, present = _fitted(frames, present, self.parts)
        x = jnp.where(present[..., None], frames, 0)
        x = x.reshape(-1, *x.shape[2:], 1)
        for number, channels in enumerate(self.channels):
            x = nn.Conv(channels, (3, 3), strides=(2, 2), name=f"convolution_{number}")(x)
            x = nn.relu(nn.Dropout(self.dropout, deterministic=not train)(x))
        hidden = x.reshape(*present.shape[:2], -1)
        return nn.Dense(self.units, name="linear")(hidden)


class _AttentionDecoder(nn.Module):
    """Weighs all frames by its state at each step, and outputs a softmax over its units.

    With frames x_i, state s, output y (0 before the first step) and context c, each step is

        e_i = v . tanh(s W + x_i U + b),  c = sum of softmax(e)_i x_i,
        r, z = sigmoid(y W + s U + c C + b), with separate parameters,
        y' = softmax(y W + s U + c C + b),
        s' = (1 - z) s + z tanh(y W + (r s) U + c C + b),

    and the state before the first step is tanh(x_0 W). Parameters: `score` [H], `asked`, `heard`,
    `begin`; and the kernels of r, z, candidate and output, concatenated in this order: `output`
    [H, 4H] of y, `state` [H, 4H] of s, `context` [D, 4H] of c, and `bias` [4H].
    """

    units: int  # H

    @nn.compact
    def __call__(self, frames: Array, present: Array) -> Array:
        """Computes the outputs [B, F, H] of F steps over [B, F, D], the present frames first."""
        size, units = frames.shape[-1], self.units
        zeros = nn.initializers.zeros_init()
        score = self.param("score", nn.initializers.normal(0.05), (units,))
        asked = self.param("asked", _GLOROT, (units, units))
        heard = frames @ self.param("heard", _GLOROT, (size, units))
        heard = heard + self.param("bias_score", zeros, (units,))
        begin = self.param("begin", _GLOROT, (size, units))
        of_output = self.param("output", _GLOROT, (units, 4 * units))
        of_state = self.param("state", _GLOROT, (units, 4 * units))
        of_context = self.param("context", _GLOROT, (size, 4 * units))
        bias = self.param("bias", zeros, (4 * units,))
        gates, rest = of_state[:, : 2 * units], of_state[:, 2 * units :]
        for_candidate, for_output = jnp.split(rest, 2, axis=-1)

        def step(carry, _):
            state, output = carry
            scores = jnp.tanh((state @ asked)[:, None] + heard) @ score
            context = jnp.einsum("bf,bfd->bd", weigh(scores, present), frames)
            inputs = output @ of_output + context @ of_context + bias
            gate = inputs[:, : 2 * units] + state @ gates
            reset, update = jnp.split(nn.sigmoid(gate), 2, axis=-1)
            candidate, answer = jnp.split(inputs[:, 2 * units :], 2, axis=-1)
            answer = nn.softmax(answer + state @ for_output)
            candidate = jnp.tanh(candidate + (reset * state) @ for_candidate)
            return ((1 - update) * state + update * candidate, answer), answer

        first = jnp.tanh(frames[:, 0] @ begin)
        start = (first, jnp.zeros_like(first))
        _, outputs = jax.lax.scan(step, start, None, length=frames.shape[1])
        return outputs.swapaxes(0, 1)


def _fitted(frames: Array, present: Array, count: int) -> tuple[Array, Array]:
    """Crops or pads frames [B, U, F, D] and `present` [B, U, F] to `count` frames."""
    frames, present = frames[:, :, :count], present[:, :, :count]
    more = (0, count - present.shape[2])
    padded = jnp.pad(frames, ((0, 0), (0, 0), more, (0, 0)))
    return padded, jnp.pad(present, ((0, 0), (0, 0), more))
