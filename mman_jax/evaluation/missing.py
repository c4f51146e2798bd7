"""What a system still answers where a modality is missing."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.systems.base import System
from mman_jax.systems.key import Key
from mman_jax.types import Array, Batch


def logits_without(
    system: System, params: Any, rows: Batch, options: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """The logits [S, R, U, C] of the system's head where one modality is missing everywhere, by
    modality; of targets what the head gives, in deviations of training.

    Args:
        system: the trained system.
        params: leading axis S.
        rows: [R, U] of utterances, scaled as in training.
        options: of the compiler.
    """
    features = {name: np.asarray(x) for name, x in rows.features.items()}
    # Of every modality, so that all cases are one compiled function.
    shapes = {name: x.shape[:-1] for name, x in features.items()}
    there = {name: rows.present.get(name, np.ones(s, bool)) for name, s in shapes.items()}

    answer = _answering(Key(system), tuple(sorted((options or {}).items())))
    return {
        name: np.asarray(
            answer(params, features, rows.reset, there | {name: np.zeros(shapes[name], bool)})
        )
        for name in features
    }


@functools.lru_cache(32)
def _answering(key: Key, options: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    system = key.system

    @functools.partial(jax.jit, compiler_options=dict(options))
    def answer(params, features, reset, present):
        def one(params):
            logits, _ = system.apply({"params": params}, features, reset, present=present)
            return logits[system.head]

        return jax.lax.map(one, params)

    return answer
