"""The factorised layers of FMT (Zadeh et al. 2019): attention within every set of modalities."""

import functools
import itertools

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.layers.attention import after, keep, weigh
from mman_jax.layers.dense import Linear, uniform
from mman_jax.types import Array


def waves(position: Array, size: int) -> Array:
    """Returns positional encodings, sines in even features and cosines in odd ones.

    Args:
        position: [...] float32, from 0.
        size: number of features; the exponent of the rate of feature i is 2i / size.

    Returns:
        [..., size] float32.
    """
    number = jnp.arange(size)
    angles = position[..., None] * 1e4 ** (-2.0 * number / size)
    return jnp.where(number % 2 == 0, jnp.sin(angles), jnp.cos(angles))


class Norm(nn.Module):
    """Layer normalisation with the unbiased standard deviation (n - 1), then scale and bias."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises [..., D] over D."""
        size = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (size,))
        bias = self.param("bias", nn.initializers.zeros_init(), (size,))
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.sum(centred**2, axis=-1, keepdims=True) / max(size - 1, 1)
        # The gradient of the square root is infinite at a variance of zero.
        return scale * centred / (jnp.sqrt(jnp.maximum(variance, 1e-30)) + 1e-6) + bias


class Group(nn.Module):
    """Attention within a set of modalities; each head is as wide as the set.

    The first axis of the parameters is the head.

    Attributes:
        heads: H.
        dropout: rate on the weights and on the outputs of heads.
    """

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, cells: Array, seen: Array, train: bool) -> Array:
        """Computes the output of each head, [H, B, U, w] float32.

        Args:
            x: [B, U, w] float32, cells that the queries are computed from.
            cells: [B, K, w] float32, cells that the keys and values are computed from.
            seen: [B, U, K] bool, which queries see which keys.
            train: whether dropout acts.
        """
        size = x.shape[-1]
        kernel, bias = {}, {}
        for name in ("query", "key", "value", "output"):
            shape = (self.heads, size, size)
            kernel[name] = self.param(f"{name}_kernel", uniform(size), shape)
            bias[name] = self.param(f"{name}_bias", uniform(size), shape[:2])[:, None, None]

        def project(name, x):
            return jnp.einsum("hbud,hde->hbue", x, kernel[name])

        queries = jnp.einsum("bud,hde->hbue", x, kernel["query"]) + bias["query"]
        # q . (c K + k) = (K q) . c + q . k, and likewise for the values, which avoids recomputing
        # the keys and values of cached cells.
        projected = jnp.einsum("hbue,hde->hbud", queries, kernel["key"])
        scores = jnp.einsum("hbud,bkd->hbuk", projected, cells)
        scores = scores + jnp.sum(queries * bias["key"], axis=-1, keepdims=True)
        weights = weigh(scores * size**-0.5, seen)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        weights = drop(weights)
        values = project("value", jnp.einsum("hbuk,bkd->hbud", weights, cells))
        values = values + weights.sum(-1, keepdims=True) * bias["value"]
        return drop(project("output", values) + bias["output"])


class Layer(nn.Module):
    """Attention in all groups, the merging of its outputs, and two dense layers.

    Further attributes are as in `FMT`.

    Attributes:
        widths: features of each modality.
    """

    widths: tuple[int, ...]
    heads: int
    merge: tuple[int, ...]
    hidden: int
    window: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Array, kept: Array | None, seen: Array, known: Array, train: bool
    ) -> tuple[Array, Array]:
        """Maps [B, U, S] to [B, U, S]; also returns this layer's cells to cache.

        Args:
            x: [B, U, S] float32, the modalities concatenated.
            kept: [B, W, S] float32, cached earlier cells; None before the first.
            seen: [B, U, K] bool.
            known: [B, K, M] bool, which modalities the cells have.
            train: whether dropout acts.
        """
        ends = list(itertools.accumulate(self.widths))
        columns = [slice(end - w, end) for end, w in zip(ends, self.widths, strict=True)]
        normed = Norm(name="norm_attention")(x)
        cells, kept = after(kept, normed), keep(kept, normed, self.window)
        groups = _groups(len(self.widths))
        weights, biases = self._merging(len(groups) // 2 + 1)
        # A version of a modality is x plus the heads' outputs so far. The layers that merge the
        # versions have no activations and reduce to one weight per version.
        parts = [
            of_x * x[..., c] + bias
            for c, of_x, bias in zip(columns, weights.sum((1, 2)), biases, strict=True)
        ]
        # A head's output is part of its version and of the versions of later heads.
        weights = jnp.flip(jnp.cumsum(jnp.flip(weights, axis=1), axis=1), axis=1)
        place = [0] * len(self.widths)
        for group in groups:
            queries, keys = (
                jnp.concatenate([y[..., columns[m]] for m in group], -1) for y in (normed, cells)
            )
            group_known = functools.reduce(jnp.logical_or, (known[..., m] for m in group))
            attend = Group(self.heads, self.dropout, name="group_" + "_".join(map(str, group)))
            heads = attend(queries, keys, seen & group_known[:, None], train)
            factors = [
                jnp.repeat(weights[m, :, place[m], None], self.widths[m], axis=1) for m in group
            ]
            merged = jnp.einsum("hbuw,hw->buw", heads, jnp.concatenate(factors, axis=1))
            edges = list(itertools.accumulate(self.widths[m] for m in group))[:-1]
            for m, part in zip(group, jnp.split(merged, edges, axis=-1), strict=True):
                parts[m], place[m] = parts[m] + part, place[m] + 1
        hidden = Norm(name="norm_dense")(jnp.concatenate(parts, axis=-1))
        hidden = nn.relu(Linear(self.hidden, name="dense_0")(hidden))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        output = Linear(x.shape[-1], name="dense_1")(hidden)
        return x + nn.Dropout(self.dropout, deterministic=not train)(output), kept

    def _merging(self, versions):
        """Returns the weight of each version [M, H, V] and the constant of each modality [M]."""
        sizes = (versions, *self.merge, 1)
        shape = (len(self.widths), self.heads)
        weights, constant = jnp.eye(versions), jnp.zeros((*shape, versions))
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            start = uniform(inputs)
            kernel = self.param(f"merge_{number}_kernel", start, (*shape, inputs, outputs))
            bias = self.param(f"merge_{number}_bias", start, (*shape, outputs))
            weights = weights @ kernel
            constant = jnp.einsum("mhi,mhio->mho", constant, kernel) + bias
        return weights[..., 0], constant[..., 0].sum(-1)


def _groups(count: int) -> list[tuple[int, ...]]:
    """Returns all non-empty sets of modalities, ordered by size, then lexicographically."""
    sizes = range(1, count + 1)
    return [group for size in sizes for group in itertools.combinations(range(count), size)]
