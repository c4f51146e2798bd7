"""Dense layers: one initialised as in PyTorch, and a perceptron with two layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.types import Array


def uniform(inputs: int) -> nn.initializers.Initializer:
    """Returns PyTorch's initialiser for a layer with D inputs: U(-1/sqrt(D), 1/sqrt(D))."""
    bound = inputs**-0.5

    def initialise(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


class Linear(nn.Module):
    """A linear layer, initialised as in PyTorch.

    Parameters: `kernel` [D, features] and, with `use_bias`, `bias` [features].
    """

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Maps [..., D] to [..., features] float32."""
        start = uniform(inputs.shape[-1])
        outputs = inputs @ self.param("kernel", start, (inputs.shape[-1], self.features))
        return outputs + self.param("bias", start, (self.features,)) if self.use_bias else outputs


class Perceptron(nn.Module):
    """A dense layer of `hidden` units with relu and dropout, followed by a linear layer."""

    hidden: int
    size: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        """Maps [..., D] float32 to [..., `size`]; with `train`, dropout is active."""
        hidden = nn.relu(nn.Dense(self.hidden, name="dense")(inputs))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        return nn.Dense(self.size, name="out")(hidden)
