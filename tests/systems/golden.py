"""The rule by which parameters and inputs of the golden numbers are filled."""

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.data import speakers as places
from mman_jax.types import Inputs


def filled(path, shape):
    """A matrix or a vector by the rule; [in, out] here is the transpose of [out, in] there.

    By its name, since it may be one of several of one shape: what comes before its own axes.
    """
    names = jax.tree_util.keystr(path, simple=True, separator="/")
    if "norm" in names:
        return np.full(shape, names.endswith("scale"), "f4")
    if "bias" in names or len(shape) == 1:
        return np.broadcast_to(0.1 * np.cos(np.arange(shape[-1])), shape).astype("f4")
    return np.broadcast_to(matrix(*shape[-2:]), shape).astype("f4")


def matrix(inputs, outputs, phase=0.0):
    """A kernel [in, out] by the rule; a phase tells modules of equal shapes apart."""
    out, into = np.meshgrid(np.arange(outputs), np.arange(inputs))
    return (2 * np.sin(1 + phase + out + 2 * into) / np.sqrt(inputs)).astype("f4")


def params(system, dims, fill=filled):
    shapes = system.parameter_shapes(dims)
    return jax.tree_util.tree_map_with_path(lambda k, x: jnp.asarray(fill(k, x.shape)), shapes)


def conversations(system, params, dims, lengths=(4, 3), speakers=None, slots=None):
    """The outputs [U, ...] of two conversations, by name; and the batch, which is padded.

    Speakers have places by their names, or the given slots.
    """
    phases = (0, 0.5, 0.9)
    cells = max(lengths)
    features = {m: inputs(2, cells, d, p) for (m, d), p in zip(dims.items(), phases, strict=False)}
    mask = np.arange(cells) < np.array(lengths)[:, None]
    reset = ~mask
    reset[:, 0] = True
    slot, new = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, bool)
    for row, given in enumerate(slots or ()):
        slot[row, : len(given)] = given
    for row, names in enumerate(speakers or ()):
        state = places.begin_places(9, (1,))
        for cell, name in enumerate(names):
            state, *taken = places.take_places(state, [str(name)])
            (slot[row, cell],), (new[row, cell],) = taken
    batch = jax.tree.map(jnp.asarray, Inputs(features, mask, reset, {}, slot, new))
    outputs, _ = jax.jit(system.apply)({"params": params}, batch)
    return [
        {name: np.asarray(x)[row, :length] for name, x in outputs.items()}
        for row, length in enumerate(lengths)
    ], batch


def inputs(rows, cells, size, phase=0.0):
    b, t, d = np.meshgrid(*map(np.arange, (rows, cells, size)), indexing="ij")
    return np.cos(1 + phase + b + t + 0.7 * d).astype("f4")


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))
