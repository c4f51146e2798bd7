"""Predictions of a system with a modality missing."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.systems.base import System
from mman_jax.systems.step import step_seeds
from mman_jax.types import Inputs


def logits_without(
    system: System, params: Any, inputs: Inputs, options: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Computes the logits [S, R, U, C] of the system's head without each modality in turn.

    For targets they are the head's outputs, in standard deviations of the training part.

    Args:
        system: the trained system.
        params: leading axis S.
        inputs: rows [R, U] of utterances, scaled as in training.
        options: options of the compiler.

    Returns:
        The logits by the missing modality.
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
