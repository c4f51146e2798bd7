"""Where training failed: the first loss or gradient that is not finite."""

import jax.numpy as jnp

from mman_jax.training.state import State
from mman_jax.types import Array


def note(state: State, losses: Array, norms: Array, step: Array) -> State:
    """The state with where each head failed, if it now did for the first time.

    Args:
        state: of one seed, within an epoch.
        losses: [T] float32 of a step.
        norms: [T] float32 of its gradients.
        step: which step of the epoch it is, from 0.
    """
    broken = ~(jnp.isfinite(losses) & jnp.isfinite(norms))
    first = broken & (state.failed[:, 0] == 0) & ~state.stopped
    now = jnp.stack([state.epoch + 1, step + 1]).astype(jnp.int32)
    return state._replace(
        failed=jnp.where(first[:, None], now, state.failed),
        failed_norm=jnp.where(first, norms, state.failed_norm),
    )
