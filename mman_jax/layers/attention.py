"""Attention between the modalities of an utterance (the paper's), and bands of earlier cells.

In a band, a cell sees the last W cells of its conversation, including itself. The state of a stream
holds these W cells, so streams and full rows give the same predictions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.types import Array

_MISSING = -1e30


def weigh(scores: Array, seen: Array) -> Array:
    """Computes the softmax of scores over the visible cells; all others get 0.

    Args:
        scores: [..., K] float32.
        seen: [..., K] bool, which cells are visible; broadcasts with `scores`.

    Examples:
        >>> weigh(jnp.zeros((2, 3)), jnp.array([[True, True, False], [False] * 3])).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    # A finite constant, because the softmax of only infinite scores is NaN.
    return jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, _MISSING), axis=-1), 0)


def multihead(
    queries: Array, keys: Array, values: Array, heads: int, seen: Array, dropout: Any = None
) -> Array:
    """Computes scaled dot-product attention [B, U, D] by several heads, each with a part of D.

    Queries are [B, U, D], keys and values [B, K, D]. A query that sees no key, by `seen` [B, U, K]
    bool, gets 0. `dropout` is applied to the weights [B, heads, U, K].
    """
    size = queries.shape[-1] // heads
    queries, keys, values = (
        x.reshape(*x.shape[:-1], heads, size) for x in (queries * size**-0.5, keys, values)
    )
    weights = weigh(jnp.einsum("buhd,bkhd->bhuk", queries, keys), seen[:, None])
    if dropout is not None:
        weights = dropout(weights)
    joined = jnp.einsum("bhuk,bkhd->buhd", weights, values)
    return joined.reshape(*joined.shape[:2], heads * size)


class Band(NamedTuple):
    """Visibility of cells; K is the number of cached cells (W or 0) plus those of the row.

    Attributes:
        seen: [B, U, K] bool, whether a cell (U) sees another one (K).
        position: [B, U] float32, index of a cell in its conversation, from 0.
        count: [B] float32, number of cells of the conversation up to the row's last cell.
    """

    seen: Array
    position: Array
    count: Array


def band(reset: Array, window: int, count: Array | None = None, ahead: bool = False) -> Band:
    """Returns the band in which each cell sees the last cells of its conversation.

    Args:
        reset: [B, U] bool, True where a conversation or padding starts.
        window: W, the number of cells that a cell sees, itself included.
        count: [B] float32, number of cells of the conversation before the row, of which W are
            cached; None if none are cached, so K is U.
        ahead: whether a cell also sees later cells, as many as earlier ones.

    Examples:
        A row has two conversations of two and three utterances; each utterance sees itself and the
        previous one.

        >>> reset = jnp.array([[True, False, True, False, False]])
        >>> band(reset, window=2).seen[0].astype(int).tolist()
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
        >>> band(reset, window=2).position[0].tolist()
        [0.0, 1.0, 0.0, 1.0, 2.0]
    """
    segment, step = jnp.cumsum(reset, axis=1), jnp.arange(reset.shape[1])
    same = segment[:, :, None] == segment[:, None]
    age = step[:, None] - step
    position = jnp.sum(same & (age >= 0), axis=-1) - 1.0
    seen = same & (age < window) & (age > -window if ahead else age >= 0)
    if count is None:
        return Band(seen, position, position[:, -1] + 1)
    continues = segment == 0
    position = position + jnp.where(continues, count[:, None], 0)
    cached = jnp.arange(window) - window  # the step of each cached cell
    before = (cached >= -count[:, None])[:, None] & continues[:, :, None]
    before = before & (step[:, None] - cached < window)
    return Band(jnp.concatenate([before, seen], axis=-1), position, position[:, -1] + 1)


def after(cached: Array | None, cells: Array) -> Array:
    """Returns the cached cells, if there are any, followed by those of the row: [B, K, ...]."""
    return cells if cached is None else jnp.concatenate([cached, cells], axis=1)


def keep(cached: Array | None, cells: Array, window: int) -> Array:
    """Returns the last W of the cached cells [B, W, ...] (None: zeros) and the row's cells."""
    if cached is None:
        cached = jnp.zeros((cells.shape[0], window, *cells.shape[2:]), cells.dtype)
    return after(cached, cells)[:, -window:]


class MultiModalAttention(nn.Module):
    """Parallel directional attention modules over the modalities of one utterance (equations 1-4).

    Each modality is standardised to `model` features by a separate dense layer (section 2.1.1).
    Its query then weighs the values of all modalities, including itself, by a softmax over their
    keys; the outputs, one per query modality, are concatenated with a skip connection.

    Parameters: `standardise_<modality>` (dense), `query_<modality>` [model, key], and
    `key_<modality>` [model, key], `value_<modality>` [model, value]; if key and value weights are
    not shared, `key_<query>_<modality>` and `value_<query>_<modality>`.

    Attributes:
        model: d_model, features of a standardised modality.
        key: d_q = d_k, features of queries and keys.
        value: d_v, features of values; equal to `model` if the skip is added.
        shared: whether the queries share the key and value weights, as the paper's sizes imply
            (it describes only the query weights as separate for each module).
        modalities: their order in the output and in the weights; by default the order of
            `features` (JAX sorts the names of a mapping that is an argument of `jit`).
        skip: whether the standardised features are added to the outputs (`add`) or concatenated
            with them (`concatenate`).

    Examples:
        Two modalities of different sizes, one utterance. With all parameters zero the scores are
        equal, so that each query (row) weighs both keys (columns) alike.

        >>> features = {"speech": jnp.ones((1, 1, 5)), "text": jnp.ones((1, 1, 3))}
        >>> attention = MultiModalAttention(model=4, key=2, value=4)
        >>> variables = attention.init(jax.random.key(0), features)
        >>> zeros = jax.tree.map(jnp.zeros_like, variables["params"])
        >>> fused, kept = attention.apply({"params": zeros}, features, mutable="intermediates")
        >>> fused.shape
        (1, 1, 8)
        >>> kept["intermediates"]["weights"][0][0, 0].tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    model: int
    key: int
    value: int
    shared: bool = True
    skip: str = "add"
    modalities: Sequence[str] | None = None

    @nn.compact
    def __call__(
        self, features: Mapping[str, Array], present: Mapping[str, Array] | None = None
    ) -> Array:
        """Fuses the modalities [B, U, D] of each utterance independently.

        Sows the attention weights [B, U, M (query), M (key)], modalities in the order of
        `features`, as `weights` into the collection `intermediates`. A modality that is not
        `present` [B, U] affects no output, and its query is zero, so it weighs the others equally.

        Returns:
            [B, U, M * value] float32, or [B, U, M * (value + model)] with the skip concatenated.

        Raises:
            ValueError: if `skip` is unknown, or is `add` and `value` differs from `model`.
            AssertionError: if the modalities disagree in B or U.
        """
        if self.skip not in ("add", "concatenate"):
            raise ValueError(f"skip is {self.skip!r}; expected 'add' or 'concatenate'")
        if self.skip == "add" and self.value != self.model:
            raise ValueError(
                f"an added skip needs value = model, not {self.value} and {self.model}"
            )
        features = {m: features[m] for m in self.modalities or features}
        chex.assert_rank(list(features.values()), 3)
        chex.assert_equal_shape_prefix(list(features.values()), 2)

        def dense(name, size):
            return nn.Dense(size, use_bias=False, name=name)

        present, standard = present or {}, {}
        for m, x in features.items():
            x = nn.Dense(self.model, name=f"standardise_{m}")(x)
            standard[m] = jnp.where(present[m][..., None], x, 0) if m in present else x
        queries = {m: dense(f"query_{m}", self.key)(x) for m, x in standard.items()}

        def keys_and_values(query=""):
            kinds = (f"key{query}", self.key), (f"value{query}", self.value)
            return [[dense(f"{kind}_{m}", n)(x) for m, x in standard.items()] for kind, n in kinds]

        if self.shared:
            projections = dict.fromkeys(features, keys_and_values())
        else:
            projections = {m: keys_and_values(f"_{m}") for m in features}
        weights, outputs = [], []
        # Since M is small, elementwise sums over a list are faster than B * U tiny matrix products.
        for modality, query in queries.items():
            keys, values = projections[modality]
            scores = [jnp.sum(query * key, axis=-1) * self.key**-0.5 for key in keys]
            # A finite constant: if every modality is missing, weights are equal and values zero.
            scores = [
                jnp.where(present[m], x, _MISSING) if m in present else x
                for m, x in zip(features, scores, strict=True)
            ]
            weights.append(jax.nn.softmax(jnp.stack(scores, axis=-1), axis=-1))
            outputs.append(sum(weights[-1][..., m, None] * v for m, v in enumerate(values)))
        self.sow("intermediates", "weights", jnp.stack(weights, axis=2))

        if self.skip == "add":
            outputs = [z + s for z, s in zip(outputs, standard.values(), strict=True)]
        else:
            outputs = [*outputs, *standard.values()]
        return jnp.concatenate(outputs, axis=-1)
