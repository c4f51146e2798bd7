"""Attention: the paper's, between the modalities of an utterance; and what all kinds share."""

from collections.abc import Mapping, Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.types import Array

_MISSING = -1e30


def weigh(scores: Array, seen: Array) -> Array:
    """The softmax of scores over what is seen; what is not gets 0, also where nothing is seen.

    Args:
        scores: [..., K] float32.
        seen: [..., K] bool, of a shape that broadcasts.

    Examples:
        >>> weigh(jnp.zeros((2, 3)), jnp.array([[True, True, False], [False] * 3])).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    # Finite, or a row of which nothing is seen would be NaN; it is alike then, and set to 0.
    return jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, _MISSING), axis=-1), 0)


class MultiModalAttention(nn.Module):
    """Parallel directional attention modules over the modalities of one utterance (equations 1-4).

    Each modality is standardised to `model` features by a dense layer of its own (section 2.1.1).
    Its query then weighs the values of all modalities, itself included, by a softmax over their
    keys; the outputs, one a query modality, are concatenated with a skip connection.

    Parameters: `standardise_<modality>` (dense), `query_<modality>` [model, key], and
    `key_<modality>` [model, key], `value_<modality>` [model, value]; with own key and value
    weights, `key_<query>_<modality>` and `value_<query>_<modality>`.

    Attributes:
        model: d_model, features of a standardised modality.
        key: d_q = d_k, features of queries and keys.
        value: d_v, features of values; equal to `model` where the skip is added.
        shared: whether the queries share the key and value weights, as in the paper's sizes
            (it says of the query weights alone that they are each module's own).
        modalities: their order in the output and in the weights; by default that of `features`
            as it comes (JAX sorts the names of a mapping that is an argument of `jit`).
        skip: `add`, the standardised features added to the outputs, or `concatenate`.

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
        """Fuses the modalities of each utterance on its own.

        Sows the attention weights [B, U, M (query), M (key)], modalities in the order of
        `features`, as `weights` into the collection `intermediates`.

        Args:
            features: [B, U, D] float32 a modality, each with its own D.
            present: [B, U] bool of modalities that may be missing, False where one is: its values
                reach no output, and its query, which is then zero, weighs the others alike.

        Returns:
            [B, U, M * value] float32, or [B, U, M * (value + model)] with the skip concatenated.

        Raises:
            ValueError: if `skip` is unknown, or adds what differs in size.
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

        standard = {
            m: nn.Dense(self.model, name=f"standardise_{m}")(x) for m, x in features.items()
        }
        present = {m: p[..., None] for m, p in (present or {}).items() if m in features}
        standard = {m: jnp.where(present[m], s, 0) if m in present else s
                    for m, s in standard.items()}  # fmt: skip
        queries = {m: dense(f"query_{m}", self.key)(x) for m, x in standard.items()}

        def all_modalities(kind, size, query=None):
            prefix = kind if query is None else f"{kind}_{query}"
            return [dense(f"{prefix}_{m}", size)(x) for m, x in standard.items()]

        if self.shared:
            keys, values = all_modalities("key", self.key), all_modalities("value", self.value)
            answers = dict.fromkeys(features, (keys, values))
        else:
            answers = {
                m: (all_modalities("key", self.key, m), all_modalities("value", self.value, m))
                for m in features
            }
        weights, outputs = [], []
        # M is small: sums over a list, elementwise, where an array [B, U, M, ...] would have to be
        # laid out anew and multiplied as B * U tiny matrices.
        for modality, query in queries.items():
            keys, values = answers[modality]
            scores = [jnp.sum(query * key, axis=-1) * self.key**-0.5 for key in keys]
            # Finite: where every modality is missing the weights are alike, and all values zero.
            scores = [jnp.where(present[m][..., 0], x, _MISSING) if m in present else x
                      for m, x in zip(features, scores, strict=True)]  # fmt: skip
            weights.append(jax.nn.softmax(jnp.stack(scores, axis=-1), axis=-1))
            outputs.append(sum(weights[-1][..., m, None] * v for m, v in enumerate(values)))
        self.sow("intermediates", "weights", jnp.stack(weights, axis=2))

        skipped = list(standard.values())
        if self.skip == "add":
            outputs = [z + s for z, s in zip(outputs, skipped, strict=True)]
        else:
            outputs = outputs + skipped
        return jnp.concatenate(outputs, axis=-1)
