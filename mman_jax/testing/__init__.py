"""Checks of what a user adds, as scikit-learn's `check_estimator` is for estimators.

`check_system` runs every check of a system and `check_reader` those of a reader. To run one check
of a system, give it a `Case`: `check_causality(Case(MySystem, settings={"units": 8}))`. A violation
raises an AssertionError that names the class and the property.
"""

from mman_jax.testing.case import DIMS, Case
from mman_jax.testing.life_cycle import check_life_cycle
from mman_jax.testing.properties import (
    check_causality,
    check_dropout,
    check_estimator,
    check_gradients,
    check_missing_modalities,
    check_packing,
    check_padding,
    check_shapes,
    check_stages,
    check_streaming,
)
from mman_jax.testing.readers import check_reader
from mman_jax.testing.systems import CHECKS, ESTIMATOR_CHECKS, check_system

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
    "check_stages",
    "check_streaming",
    "check_system",
]
