"""Two dense layers."""

import flax.linen as nn

from mman_jax.types import Array


class Perceptron(nn.Module):
    """A dense layer with relu and dropout, and a linear one.

    Attributes:
        hidden: units of the first layer.
        size: of the output.
        dropout: rate between the two.
    """

    hidden: int
    size: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        """[..., D] float32 to [..., `size`]; dropout acts where `train`."""
        found = nn.relu(nn.Dense(self.hidden, name="dense")(inputs))
        found = nn.Dropout(self.dropout, deterministic=not train)(found)
        return nn.Dense(self.size, name="out")(found)
