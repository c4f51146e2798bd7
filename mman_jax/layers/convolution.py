"""Convolution over the cells of conversations that share a row."""

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.dense import uniform
from mman_jax.types import Array


class Convolution(nn.Module):
    """A convolution over the utterances of a conversation; others and padding read as zeros.

    Attributes:
        size: units.
        taps: number of utterances that it reads.
        causal: whether the last tap is the current utterance, rather than the middle one.
    """

    size: int
    taps: int
    causal: bool

    @nn.compact
    def __call__(self, x: Array, segment: Array, cells: int) -> Array:
        """Returns [B, U, size] float32 for the last U cells.

        Args:
            x: [B, K, D] float32, K - U cached cells and those of the row.
            segment: [B, K] int32, the number of the conversation; cells of -1 read as zeros.
            cells: U.
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
