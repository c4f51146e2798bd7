"""The rule by which parameters and inputs of the golden numbers are filled."""

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.systems.base import parameter_shapes


def filled(shape):
    """A matrix or a vector by the rule; [in, out] here is the transpose of [out, in] there."""
    if len(shape) == 1:
        return 0.1 * np.cos(np.arange(shape[0])).astype("f4")
    inputs, outputs = shape
    out, into = np.meshgrid(np.arange(outputs), np.arange(inputs))
    return (2 * np.sin(1 + out + 2 * into) / np.sqrt(inputs)).astype("f4")


def params(system, dims):
    return jax.tree.map(lambda x: jnp.asarray(filled(x.shape)), parameter_shapes(system, dims))


def inputs(rows, cells, size, phase=0.0):
    b, t, d = np.meshgrid(*map(np.arange, (rows, cells, size)), indexing="ij")
    return np.cos(1 + phase + b + t + 0.7 * d).astype("f4")


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))
