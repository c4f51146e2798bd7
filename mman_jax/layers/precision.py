"""JAX's default numeric rules, independent of the settings of the importing process."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import jax

F = TypeVar("F", bound=Callable)


@contextlib.contextmanager
def standard_numbers() -> Iterator[None]:
    """Sets 32-bit precision and JAX's standard type promotion in this thread.

    A notebook may have enabled 64 bits or strict promotion for other code; the networks are trained
    and stored in float32.
    """
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def in_standard_numbers(function: F) -> F:
    """Runs a function, or every step of a generator function, within `standard_numbers`."""
    if not inspect.isgeneratorfunction(function):
        return cast(F, standard_numbers()(function))

    @functools.wraps(function)
    def steps(*args, **kwargs):
        iterator = function(*args, **kwargs)
        while True:
            with standard_numbers():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    return cast(F, steps)
