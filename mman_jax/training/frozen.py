"""Whether what a stage reads is frozen while it trains, and so need be computed but once."""

from collections.abc import Sequence
from typing import Any

import jax

from mman_jax.systems.base import Stage, System
from mman_jax.systems.key import Key
from mman_jax.training import freezing
from mman_jax.training.parameters import shapes


def inputs_are_frozen(
    system: System, sizes: Sequence[tuple[str, int]], stage: Stage, groups: Any
) -> bool:
    """Whether all that a stage reads is frozen.

    Args:
        system: whose stage it is.
        sizes: each modality's name and D.
        stage: as the system declares it.
        groups: which group trains each parameter (`freezing.labels`).
    """
    if not stage.reads:
        return False
    trained = set(jax.tree.leaves(groups)) - {freezing.FROZEN}
    return not trained & set(shapes(Key(system), tuple(sizes), stage.reads))
