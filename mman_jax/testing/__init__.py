"""Checks of user-defined systems, readers and tasks, like scikit-learn's `check_estimator`.

`check_system`, `check_reader` and `check_task` run all checks of a system, a reader or a task. A
single check of a system takes a `Case`: `check_causality(Case(MySystem, settings={"units": 8}))`.
A violation raises an AssertionError that names the class and the property.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.systems.base import BaseSystem
from mman_jax.testing.life_cycle import check_life_cycle
from mman_jax.testing.readers import check_reader
from mman_jax.testing.systems import (
    DIMS,
    Case,
    check_causality,
    check_dropout,
    check_estimator,
    check_gradients,
    check_missing_modalities,
    check_packing,
    check_padding,
    check_shapes,
    check_speakers,
    check_stages,
    check_streaming,
)
from mman_jax.testing.tasks import check_task

__all__ = [
    "CHECKS",
    "DIMS",
    "ESTIMATOR_CHECKS",
    "Case",
    "check_causality",
    "check_dropout",
    "check_estimator",
    "check_gradients",
    "check_life_cycle",
    "check_missing_modalities",
    "check_packing",
    "check_padding",
    "check_reader",
    "check_shapes",
    "check_speakers",
    "check_stages",
    "check_streaming",
    "check_system",
    "check_task",
]

CHECKS = (
    *(check_shapes, check_dropout, check_stages, check_padding, check_packing, check_causality),
    *(check_streaming, check_speakers, check_missing_modalities, check_gradients),
    check_life_cycle,
)
"""The checks of networks that `check_system` runs, in order."""

ESTIMATOR_CHECKS = (check_estimator, check_life_cycle)
"""The checks of estimators that `check_system` runs, in order."""


def check_system(
    system_class: type[BaseSystem],
    dims: Mapping[str, int] = DIMS,
    outputs: int = 3,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    idle: Sequence[str] = (),
) -> None:
    """Checks every property that the library relies on; the arguments are those of `Case`.

    Raises:
        AssertionError: The first violation, in the form `MySystem: causality: ...`.
    """
    case = Case(system_class, dims, outputs, settings, seed, training, idle)
    for check in ESTIMATOR_CHECKS if system_class.learns_by == "fitting" else CHECKS:
        check(case)
