"""Parameters as they are before training."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mman_jax.systems.base import System
from mman_jax.systems.key import Key


def drawn(
    system: System, sizes: Sequence[tuple[str, int]], seed: jax.Array, method: str | None = None
) -> dict[str, Any]:
    """One seed's parameters before training.

    Args:
        system: whose they are.
        sizes: each modality's name and D, in order.
        seed: a scalar, uint32.
        method: whose parameters are wanted; None: all.
    """
    features = {m: jnp.zeros((1, 1, size)) for m, size in sizes}
    reset = jnp.ones((1, 1), bool)
    return system.init(jax.random.key(seed), features, reset, method=method)["params"]


@functools.lru_cache(64)
def shapes(
    key: Key, sizes: tuple[tuple[str, int], ...], method: str | None = None
) -> dict[str, Any]:
    """Shapes and dtypes of what `drawn` gives; computes nothing."""
    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    return jax.eval_shape(lambda seed: drawn(key.system, sizes, seed, method), seed)
