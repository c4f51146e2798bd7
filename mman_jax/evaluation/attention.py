"""What the multi-modal attention looked at."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.layers.attention import MultiModalAttention
from mman_jax.systems.mman import ATTENTION_TOWER, Network
from mman_jax.types import Array

_TOWER = f"towers_{ATTENTION_TOWER}"


def attention_weights(
    network: Network,
    params: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The weights of the attention tower on every utterance, for every seed.

    Args:
        network: the trained network.
        params: leading axis S.
        features: [R, U, D] float32 a modality, scaled as in training.
        present: [R, U] bool of modalities that may be missing.

    Returns:
        The modalities in order, and the weights [S, R, U, M (query), M (key)] float32; None where
        no tower attends.
    """
    if ATTENTION_TOWER not in network.towers:
        return None
    names = tuple(network.inputs[ATTENTION_TOWER])

    @jax.jit
    def weigh_all(params, features, present):
        return jax.lax.map(lambda one: weigh(network, one, features, present), params)

    own = {name: np.asarray(features[name]) for name in names}
    tower = {_TOWER: params[_TOWER]}  # the others need not travel
    return names, np.asarray(weigh_all(tower, own, dict(present or {})))


def weigh(
    network: Network,
    params: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
) -> Array:
    """One seed's weights [B, U, M (query), M (key)] float32; pure.

    Args:
        network: with an attention tower.
        params: of one seed.
        features: [B, U, D] float32 a modality, scaled as in training.
        present: [B, U] bool of modalities that may be missing.
    """
    names = tuple(network.inputs[ATTENTION_TOWER])
    tower = network.towers[ATTENTION_TOWER]
    module = MultiModalAttention(**{"modalities": names, **tower.attention})
    own = {"params": params[_TOWER]["attention"]}
    _, kept = module.apply(own, {m: features[m] for m in names}, present, mutable="intermediates")
    return kept["intermediates"]["weights"][0]


def mean_weights(weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The mean weights [1 + C, M, M]: of all scored utterances, then of each class's.

    Args:
        weights: [S, R, U, M, M].
        labels: [R, U] int32, classes; others are left out. A class without utterances gets zeros.
        classes: C.
    """
    weights = np.asarray(weights, np.float64).mean(0)
    masks = [(labels >= 0), *((labels == c) for c in range(classes))]
    return np.stack(
        [weights[mask].mean(0) if mask.any() else np.zeros(weights.shape[-2:]) for mask in masks]
    )
