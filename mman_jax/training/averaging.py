"""An exponential average of the parameters, validated and kept in place of the last iterate."""

from typing import Any

import jax
import optax

from mman_jax.training.freezing import FROZEN


def start(params: Any, decay: float) -> Any:
    """The average before the first step; `()` where none is kept.

    Args:
        params: of one seed.
        decay: how much of the average stays at each step; 0 keeps none.
    """
    return optax.ema(decay).init(params) if decay else ()


def update(average: Any, params: Any, decay: float) -> Any:
    """The average after one more step."""
    return optax.ema(decay).update(params, average)[1] if decay else ()


def value(average: Any, params: Any, groups: Any, decay: float) -> Any:
    """What is validated and kept: the average of all steps so far, or the parameters themselves.

    What is frozen is passed on as it is, bit for bit.

    Args:
        average: after at least one step.
        params: of the last step.
        groups: of each parameter (`freezing.labels`).
        decay: as `start` had it.
    """
    if not decay:
        return params
    # Early steps weigh too little in an average that began at zero.
    rest = 1 - decay**average.count
    return jax.tree.map(
        lambda group, p, mean: p if group == FROZEN else (mean / rest).astype(p.dtype),
        groups,
        params,
        average.ema,
    )
