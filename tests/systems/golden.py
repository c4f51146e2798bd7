"""The rule by which parameters and inputs of the golden numbers are filled."""

import jax
import jax.numpy as jnp
import numpy as np


def filled(path, shape):
    """A matrix or a vector by the rule; [in, out] here is the transpose of [out, in] there.

    By its name, since it may be one of several of one shape: what comes before its own axes.
    """
    names = jax.tree_util.keystr(path, simple=True, separator="/")
    if "norm" in names:
        return np.full(shape, names.endswith("scale"), "f4")
    if "bias" in names or len(shape) == 1:
        return np.broadcast_to(0.1 * np.cos(np.arange(shape[-1])), shape).astype("f4")
    inputs, outputs = shape[-2:]
    out, into = np.meshgrid(np.arange(outputs), np.arange(inputs))
    matrix = 2 * np.sin(1 + out + 2 * into) / np.sqrt(inputs)
    return np.broadcast_to(matrix, shape).astype("f4")


def params(system, dims):
    shapes = system.parameter_shapes(dims)
    return jax.tree_util.tree_map_with_path(lambda k, x: jnp.asarray(filled(k, x.shape)), shapes)


def inputs(rows, cells, size, phase=0.0):
    b, t, d = np.meshgrid(*map(np.arange, (rows, cells, size)), indexing="ij")
    return np.cos(1 + phase + b + t + 0.7 * d).astype("f4")


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))
