"""The branches of Tripathi and Beigi's full network: a modality's frames to one vector each.

Each takes frames [B, U, F, D] with `present` [B, U, F], and gives [B, U, units].
"""

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.decoder import AttentionDecoder
from mman_jax.layers.frames import FramesLSTM
from mman_jax.types import Array


class Recurrent(nn.Module):
    """Two LSTMs, the state after the last frame, a linear layer: theirs of words.

    Attributes:
        hidden: H of both.
        units: of the linear layer.
        dropout: rate after each LSTM.
    """

    hidden: int
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """See the module."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        starts = jnp.zeros(present.shape, bool)
        found, _ = FramesLSTM(self.hidden, name="lstm_0")(frames, starts, present)
        _, (found, _) = FramesLSTM(self.hidden, name="lstm_1")(drop(found), starts, present)
        return nn.Dense(self.units, name="linear")(drop(found))


class Attended(nn.Module):
    """An LSTM, the attention decoder over its states, and a linear layer on all steps: of speech.

    Attributes:
        frames: F of the linear layer; the first so many are read.
        hidden: H of the LSTM and of the decoder.
        units: of the linear layer.
        dropout: rate after the LSTM and after the decoder.
    """

    frames: int
    hidden: int
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """See the module."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        frames, present = fitted(frames, present, self.frames)
        starts = jnp.zeros(present.shape, bool)
        found, _ = FramesLSTM(self.hidden, name="lstm")(frames, starts, present)
        flat = found.reshape(-1, *found.shape[2:])
        decoder = AttentionDecoder(self.hidden, name="decoder")
        found = decoder(drop(flat), present.reshape(flat.shape[:2]))
        found = drop(found).reshape(*present.shape[:2], -1)
        return nn.Dense(self.units, name="linear")(found)


class Convolved(nn.Module):
    """Convolutions over frames and features, 3 x 3 at a stride of 2, and a linear layer: of faces.

    Attributes:
        parts: F of the linear layer.
        channels: of each convolution.
        units: of the linear layer.
        dropout: rate after each convolution.
    """

    parts: int
    channels: tuple[int, ...]
    units: int
    dropout: float

    @nn.compact
    def __call__(self, frames: Array, present: Array, train: bool) -> Array:
        """See the module."""
        frames, present = fitted(frames, present, self.parts)
        x = jnp.where(present[..., None], frames, 0)
        x = x.reshape(-1, *x.shape[2:], 1)
        for number, channels in enumerate(self.channels):
            x = nn.Conv(channels, (3, 3), strides=(2, 2), name=f"convolution_{number}")(x)
            x = nn.relu(nn.Dropout(self.dropout, deterministic=not train)(x))
        found = x.reshape(*present.shape[:2], -1)
        return nn.Dense(self.units, name="linear")(found)


def fitted(frames: Array, present: Array, count: int) -> tuple[Array, Array]:
    """The first so many of frames [B, U, F, D] and of `present` [B, U, F], padded where fewer."""
    frames, present = frames[:, :, :count], present[:, :, :count]
    more = (0, count - present.shape[2])
    padded = jnp.pad(frames, ((0, 0), (0, 0), more, (0, 0)))
    return padded, jnp.pad(present, ((0, 0), (0, 0), more))
