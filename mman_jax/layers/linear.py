"""A dense layer whose parameters start as in PyTorch."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.types import Array


def uniform(inputs: int) -> nn.initializers.Initializer:
    """Draws as PyTorch does for a layer of so many inputs: U(-1/sqrt(D), 1/sqrt(D))."""
    bound = inputs**-0.5

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


class Linear(nn.Module):
    """`kernel` [D, features] and `bias` [features], both drawn by the number of inputs D.

    Attributes:
        features: of the output.
        use_bias: whether there is a bias.
    """

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[..., D] to [..., features] float32."""
        start = uniform(inputs.shape[-1])
        found = inputs @ self.param("kernel", start, (inputs.shape[-1], self.features))
        return found + self.param("bias", start, (self.features,)) if self.use_bias else found
