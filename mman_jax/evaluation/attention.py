"""What the multi-modal attention looked at."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.models.attention import MultiModalAttention
from mman_jax.models.networks import ATTENTION_TOWER, Network
from mman_jax.types import Array


def attention_weights(
    network: Network, params: Any, features: Mapping[str, Array]
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The weights of the attention tower on every utterance, for every seed.

    Args:
        network: the trained network.
        params: leading axis S.
        features: [R, U, D] float32 a modality, scaled as in training.

    Returns:
        The modalities in order, and the weights [S, R, U, M (query), M (key)] float32; None where
        no tower attends.
    """
    tower = network.towers.get(ATTENTION_TOWER)
    if tower is None:
        return None
    names = tuple(network.inputs[ATTENTION_TOWER])
    module = MultiModalAttention(**{"modalities": names, **tower.attention})

    @jax.jit
    def weigh(params, features):
        def one(params):
            _, kept = module.apply({"params": params}, features, mutable="intermediates")
            return kept["intermediates"]["weights"][0]

        return jax.lax.map(one, params)

    own = {name: np.asarray(features[name]) for name in names}
    return names, np.asarray(weigh(params[f"towers_{ATTENTION_TOWER}"]["attention"], own))


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
