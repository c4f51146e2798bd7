"""What a system's attention looked at."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.systems.base import System
from mman_jax.systems.step import sown_weights
from mman_jax.types import Array, Inputs


def attention_weights(
    system: System,
    params: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """The attention weights on every utterance, for every seed.

    Args:
        system: the trained system.
        params: leading axis S.
        features: [R, U, D] float32 a modality, scaled as in training.
        present: [R, U] bool of modalities that may be missing.
        options: of the compiler.

    Returns:
        The modalities in order, and the weights [S, R, U, M (query), M (key)] float32; None where
        the system does not attend.
    """
    if not system.attends:
        return None

    weigh_all = _weighing(system, tuple(sorted((options or {}).items())))
    given = {name: np.asarray(x) for name, x in features.items()}
    return system.attends, np.asarray(weigh_all(params, given, dict(present or {})))


@functools.lru_cache(32)
def _weighing(system: System, options: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    @functools.partial(jax.jit, compiler_options=dict(options))
    def weigh_all(params, features, present):
        return jax.lax.map(lambda one: weigh(system, one, features, present), params)

    return weigh_all


def weigh(
    system: System,
    params: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
) -> Array:
    """One seed's weights [B, U, M (query), M (key)] float32; pure.

    Args:
        system: one that attends.
        params: of one seed.
        features: [B, U, D] float32 a modality, scaled as in training.
        present: [B, U] bool of modalities that may be missing.
    """
    reset = np.zeros(next(iter(features.values())).shape[:2], bool)
    inputs = Inputs.unpadded(features, reset, present)
    _, kept = system.apply({"params": params}, inputs, mutable="intermediates")
    return sown_weights(kept)


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
