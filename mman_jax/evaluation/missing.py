"""Predictions of a system with a modality missing."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.systems.base import System
from mman_jax.types import Array, Batch, Inputs


def logits_without(
    system: System, params: Any, rows: Batch, options: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Computes the logits [S, R, U, C] of the system's head without each modality in turn.

    For targets they are the head's outputs, in standard deviations of the training part.

    Args:
        system: the trained system.
        params: leading axis S.
        rows: [R, U] of utterances, scaled as in training.
        options: options of the compiler.

    Returns:
        The logits by the missing modality.
    """
    features = {name: np.asarray(x) for name, x in rows.features.items()}
    # A mask for every modality, so that all cases share one compiled function.
    shapes = {name: x.shape[:-1] for name, x in features.items()}
    available = {name: rows.present.get(name, np.ones(s, bool)) for name, s in shapes.items()}

    inputs = rows.inputs._replace(features=features)
    predict = _predicting(system, tuple(sorted((options or {}).items())))
    without = {name: available | {name: np.zeros(shapes[name], bool)} for name in features}
    return {
        name: np.asarray(predict(params, inputs._replace(present=present)))
        for name, present in without.items()
    }


@functools.lru_cache(32)
def _predicting(system: System, options: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    @functools.partial(jax.jit, compiler_options=dict(options))
    def predict(params: Any, inputs: Inputs) -> Array:
        def one_seed(params):
            logits, _ = system.apply({"params": params}, inputs)
            return logits[system.head]

        return jax.lax.map(one_seed, params)

    return predict
