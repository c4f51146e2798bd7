"""Importance of modalities: attention weights, and predictions without one modality."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.systems.base import System
from mman_jax.systems.step import step_seeds
from mman_jax.types import Inputs


def attention_weights(
    system: System, params: Any, inputs: Inputs, options: Mapping[str, Any] | None = None
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Computes the attention weights of every seed on every utterance.

    Args:
        params: leading axis S.
        inputs: rows [R, U] of utterances, scaled as in training.

    Returns:
        The modalities in order, and the weights [S, R, U, M (query), M (key)] float32; None if
        the system has no attention.
    """
    if not system.attends:
        return None
    arrays = jax.tree.map(np.asarray, inputs)
    weights = step_seeds(system, params, arrays, attention=True, options=options).weights
    return system.attends, np.asarray(weights)


def mean_weights(weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Averages the weights over all scored utterances, then over each class: [1 + C, M, M].

    Args:
        labels: [R, U] int32; negative ones are left out. A class without utterances gets zeros.
    """
    weights = np.asarray(weights, np.float64).mean(0)
    masks = [(labels >= 0), *((labels == c) for c in range(classes))]
    return np.stack(
        [weights[mask].mean(0) if mask.any() else np.zeros(weights.shape[-2:]) for mask in masks]
    )


def logits_without(
    system: System, params: Any, inputs: Inputs, options: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Computes the logits [S, R, U, C] of the system's head without each modality in turn.

    For targets they are the head's outputs, in standard deviations of the training part.

    Args:
        params: leading axis S.
        inputs: rows [R, U] of utterances, scaled as in training.

    Returns:
        The logits by the modality that is left out.
    """
    arrays = jax.tree.map(np.asarray, inputs)
    # A mask for every modality, so that all cases share one compiled function.
    shapes = {name: x.shape[:-1] for name, x in arrays.features.items()}
    available = {name: arrays.present.get(name, np.ones(s, bool)) for name, s in shapes.items()}
    logits = {}
    for name, shape in shapes.items():
        without = arrays._replace(present=available | {name: np.zeros(shape, bool)})
        logits[name] = np.asarray(step_seeds(system, params, without, options=options).logits)
    return logits
