"""The pre-norm transformer of MulT (Tsai et al. 2019), with self-attention or cross-attention."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import after, keep, multihead
from mman_jax.types import Array

_XAVIER = nn.initializers.xavier_uniform()


def sinusoids(position: Array, size: int) -> Array:
    """Returns encodings [..., size] of positions: sines, then cosines, then 0 if `size` is odd."""
    half = size // 2
    rates = 1e4 ** -(jnp.arange(half) / max(half - 1, 1))
    angles = position[..., None] * rates
    odd = jnp.zeros((*position.shape, size % 2))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles), odd], axis=-1)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention; one kernel computes queries, keys and values."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, cells: Array, seen: Array, rate: Array | None = None) -> Array:
        """Attends from each cell of x [B, U, D] to the visible cells among `cells` [B, K, D].

        The arguments are those of `Encoder`, and the result is [B, U, D] float32.
        """
        size = x.shape[-1]
        kernel = self.param("kernel", _XAVIER, (size, 3 * size))
        bias = self.param("bias", nn.initializers.zeros_init(), (3 * size,))
        queries = x @ kernel[:, :size] + bias[:size]
        projected = cells @ kernel[:, size:] + bias[size:]

        def dropout(weights):
            mask = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, weights.shape)
            return jnp.where(mask, weights / (1 - rate), 0)

        keys, values = jnp.split(projected, 2, axis=-1)
        drop = None if rate is None else dropout
        heads = multihead(queries, keys, values, self.heads, seen, drop)
        return nn.Dense(size, kernel_init=_XAVIER, name="output")(heads)


class Layer(nn.Module):
    """Attention and two dense layers, each with a norm before it and a residual connection.

    Attributes as in `Encoder`.
    """

    heads: int
    window: int
    relu_dropout: float
    residual_dropout: float

    @nn.compact
    def __call__(
        self, x: Array, kept: Array | None, source: Array | None, seen: Array, rate: Array | None
    ) -> tuple[Array, Array | None]:
        """Returns the output and the cells to cache; the arguments are those of `Encoder`."""

        def drop(x, rate):
            return nn.Dropout(rate, deterministic=train)(x)

        train = rate is None
        size, norm = x.shape[-1], nn.LayerNorm(1e-5, name="norm_attention")
        queries = norm(x)
        if source is None:
            cells, kept = after(kept, queries), keep(kept, queries, self.window)
        else:
            cells = norm(source)
        output = Attention(self.heads, name="attention")(queries, cells, seen, rate)
        x = x + drop(output, self.residual_dropout)
        hidden = nn.LayerNorm(1e-5, name="norm_dense")(x)
        hidden = nn.relu(nn.Dense(4 * size, kernel_init=_XAVIER, name="dense_0")(hidden))
        hidden = drop(hidden, self.relu_dropout)
        output = nn.Dense(size, kernel_init=_XAVIER, name="dense_1")(hidden)
        return x + drop(output, self.residual_dropout), kept


class Encoder(nn.Module):
    """Layers in which a sequence attends to another one or to itself, and a final norm.

    The first axis of the parameters is the layer. The other sequence is the same in all layers.

    Attributes:
        layers: L.
        heads: heads of each attention.
        window: W, the number of cells that self-attention caches.
        relu_dropout: rate between the dense layers.
        residual_dropout: rate on the outputs that are added to the residual connections.
    """

    layers: int
    heads: int
    window: int
    relu_dropout: float = 0.0
    residual_dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: Array,
        source: Array | None,
        seen: Array,
        rate: Array | None = None,
        kept: Array | None = None,
    ) -> tuple[Array, Array | None]:
        """Encodes the sequence.

        Args:
            x: [B, U, D] float32, positions included.
            source: [B, K, D] float32, the other sequence, positions included; None: x itself.
            seen: [B, U, K] bool; K counts the cached cells before those of the row.
            rate: a scalar, the dropout rate of the attention weights in training, or None.
            kept: [B, L, W, D] float32, cached cells in self-attention; None before the first.

        Returns:
            [B, U, D] float32, and the cells to cache; None if there is a source.
        """
        layers = nn.scan(
            Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
            length=self.layers,
        )(self.heads, self.window, self.relu_dropout, self.residual_dropout, name="layers")
        x, kept = layers(x, kept, source, seen, rate)
        return nn.LayerNorm(1e-5, name="norm")(x), kept
