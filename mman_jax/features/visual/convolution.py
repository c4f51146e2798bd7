"""Convolutions over time and place."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.types import Array


class Conv(nn.Module):
    """A convolution over time and place, without biases, padded by half the kernel with zeros.

    It is computed as a two-dimensional one, with the pictures that the kernel sees stacked as
    channels: XLA has no fast code for three dimensions on CPUs, where the gradient of the first
    layer takes seventy times as long.

    Attributes:
        channels: O, of the output.
        kernel: its sizes in time, height and width, all odd.
        stride: in each of them.
    """

    channels: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, time, height, width, O] from [B, T, H, W, channels]."""
        shape = (*self.kernel, x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        (taps, *_), (step, *steps) = self.kernel, self.stride
        sides = [(size // 2, size // 2) for size in self.kernel]
        x = jnp.pad(x, [(0, 0), sides[0], *[(0, 0)] * 3])
        last = x.shape[1] - taps
        seen = jnp.concatenate([x[:, t : t + last + 1 : step] for t in range(taps)], axis=-1)
        # [taps, height, width, channels, O] to [height, width, taps * channels, O]
        flat = jnp.moveaxis(kernel, 0, 2).reshape(*self.kernel[1:], -1, self.channels)
        y = jax.lax.conv_general_dilated(
            seen.reshape(-1, *seen.shape[2:]), flat, steps, sides[1:],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return y.reshape(*seen.shape[:2], *y.shape[1:])
