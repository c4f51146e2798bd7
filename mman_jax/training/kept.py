"""Compiled functions that are kept: trainers of equal stages and shapes run the same programs."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from mman_jax.training import mesh

_MOST = 32
"""Functions of one kind: of those that nobody asked for again the oldest go."""

Made = TypeVar("Made", bound=Callable)


def kept(make: Made) -> Made:
    """Makes `make` give what it gave before for equal arguments, compiled in the same way.

    Args:
        make: pure, from arguments with a hash to a function that holds no rows and no parameters.
    """

    @functools.lru_cache(_MOST)
    def of(quickly: bool, *arguments: Any) -> Callable:
        return make(*arguments)

    @functools.wraps(make)
    def found(*arguments: Any) -> Callable:
        return of(mesh.is_quick(), *arguments)

    return found
