"""A gated recurrent unit over packed rows of cells."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.linear import uniform
from mman_jax.types import Array


class GRU(nn.Module):
    """One GRU layer over rows of cells, with the parameters of PyTorch's.

    `kernel_input` [D, 3H], `kernel_hidden` [H, 3H], `bias_input` [3H] and `bias_hidden` [3H] are
    the transposes of PyTorch's, gates in the order r, z, n; all start as there.

    Attributes:
        hidden: H.
    """

    hidden: int

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        reset: Array,
        mask: Array | None = None,
        state: Array | None = None,
    ) -> tuple[Array, Array]:
        """Runs over the cells of each row.

        Args:
            inputs: [B, U, D] float32.
            reset: [B, U] bool, True where a conversation starts: the state is zero before it.
            mask: [B, U] bool, False where the state passes unchanged and the output repeats it.
            state: the state before the first cell, [B, H]; zeros by default.

        Returns:
            Hidden states [B, U, H] float32, and the state after the last cell [B, H].

        Raises:
            AssertionError: if a shape disagrees.
        """
        chex.assert_rank(inputs, 3)
        rows, cells, features = inputs.shape
        chex.assert_shape(reset, (rows, cells))
        start, width = uniform(self.hidden), 3 * self.hidden
        kernel_input = self.param("kernel_input", start, (features, width))
        kernel_hidden = self.param("kernel_hidden", start, (self.hidden, width))
        bias_input = self.param("bias_input", start, (width,))
        bias_hidden = self.param("bias_hidden", start, (width,))
        if state is None:
            state = jnp.zeros((rows, self.hidden), inputs.dtype)
        chex.assert_shape(state, (rows, self.hidden))
        if mask is None:
            mask = jnp.ones((rows, cells), bool)
        given = (inputs.reshape(-1, features) @ kernel_input).reshape(rows, cells, width)
        keep = 1.0 - reset[..., None].astype(inputs.dtype)

        def step(hidden, x):
            given, keep, mask = x
            hidden = hidden * keep
            of_input = jnp.split(given + bias_input, 3, axis=-1)
            of_hidden = jnp.split(hidden @ kernel_hidden + bias_hidden, 3, axis=-1)
            r, z = (nn.sigmoid(x + h) for x, h in zip(of_input[:2], of_hidden[:2], strict=True))
            new = jnp.tanh(of_input[2] + r * of_hidden[2])
            hidden = jnp.where(mask, (1 - z) * new + z * hidden, hidden)
            return hidden, hidden

        by_cell = (jnp.swapaxes(x, 0, 1) for x in (given, keep, mask[..., None]))
        last, hidden = jax.lax.scan(step, state, tuple(by_cell))
        return jnp.swapaxes(hidden, 0, 1), last
