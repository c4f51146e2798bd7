"""Attention weights of a trained system."""

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
    """Computes the attention weights of every seed on every utterance.

    Args:
        system: the trained system.
        params: leading axis S.
        features: [R, U, D] float32 by modality, scaled as in training.
        present: [R, U] bool by modality, for those that may be missing.
        options: options of the compiler.

    Returns:
        The modalities in order, and the weights [S, R, U, M (query), M (key)] float32; None if
        the system has no attention.
    """
    if not system.attends:
        return None

    weigh_all = _weighing(system, tuple(sorted((options or {}).items())))
    arrays = {name: np.asarray(x) for name, x in features.items()}
    return system.attends, np.asarray(weigh_all(params, arrays, dict(present or {})))


@functools.lru_cache(32)
def _weighing(system: System, options: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    @functools.partial(jax.jit, compiler_options=dict(options))
    def weigh_all(params, features, present):
        return jax.lax.map(lambda seed: weigh(system, seed, features, present), params)

    return weigh_all


def weigh(
    system: System,
    params: Any,
    features: Mapping[str, Array],
    present: Mapping[str, Array] | None = None,
) -> Array:
    """Computes one seed's weights [B, U, M (query), M (key)] float32; a pure function.

    Args:
        system: a system with attention.
        params: parameters of one seed.
        features: [B, U, D] float32 by modality, scaled as in training.
        present: [B, U] bool by modality, for those that may be missing.
    """
    reset = np.zeros(next(iter(features.values())).shape[:2], bool)
    inputs = Inputs.unpadded(features, reset, present)
    _, intermediates = system.apply({"params": params}, inputs, mutable="intermediates")
    return sown_weights(intermediates)


def mean_weights(weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Averages the weights over all scored utterances, then over each class: [1 + C, M, M].

    Args:
        weights: [S, R, U, M, M].
        labels: [R, U] int32; negative ones are left out. A class without utterances gets zeros.
        classes: number of classes C.
    """
    weights = np.asarray(weights, np.float64).mean(0)
    masks = [(labels >= 0), *((labels == c) for c in range(classes))]
    return np.stack(
        [weights[mask].mean(0) if mask.any() else np.zeros(weights.shape[-2:]) for mask in masks]
    )
