"""Parameters as named tensors: in and out, bit by bit, and in PyTorch's layout."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError, nearest

_EXPECTED = "the tensors of mman export"

# PyTorch keeps matrices as [outputs, inputs], and an LSTM's gates in the order i, f, g, o, as here.
_TORCH = {
    "kernel": "weight",
    "bias": "bias",
    "kernel_input": "weight_ih_l0",
    "kernel_hidden": "weight_hh_l0",
    "bias_input": "bias_ih_l0",
    "bias_hidden": "bias_hh_l0",
}


def to_tensors(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The leaves of nested dicts of arrays by their path, joined by `/`."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return {name: np.ascontiguousarray(array) for name, array in flat.items()}


def from_tensors(
    tensors: Mapping[str, np.ndarray], like: Mapping[str, Any], place: object = "weights"
) -> dict[str, Any]:
    """The nested dicts that `to_tensors` was given, with another number of seeds if need be.

    Args:
        tensors: [S, ...] float32 by name; S is one number for all.
        like: parameters of the same network, with any S.
        place: for messages.

    Raises:
        InputError: naming the first tensor that is missing, unexpected, of another shape or dtype,
            or not finite.
    """
    expected = to_tensors(like)
    for name in sorted(expected.keys() - tensors.keys()):
        raise InputError(f"{place}: tensor {name}", "missing", _EXPECTED)
    for name in sorted(tensors.keys() - expected.keys()):
        raise InputError(f"{place}: tensor {name}", "unexpected", nearest(name, expected))
    first = tensors[next(iter(expected))]
    seeds = max(1, len(first)) if first.ndim else 1
    for name, array in expected.items():
        where, found = f"{place}: tensor {name}", tensors[name]
        shape = (seeds, *array.shape[1:])
        if found.shape != shape or found.dtype != array.dtype:
            shown = f"{found.dtype} of shape {found.shape}"
            raise InputError(where, shown, f"{array.dtype} of shape {shape}")
        if not np.isfinite(found).all():
            raise InputError(where, "not finite", "finite numbers")
    return traverse_util.unflatten_dict({name: tensors[name] for name in expected}, sep="/")


def to_torch(params: Mapping[str, Any], scaling: Scaling) -> dict[str, np.ndarray]:
    """One seed's parameters as a PyTorch state dict: names, layouts and values.

    Paths are joined by `.`; an `nn.Linear` or `nn.LSTM` (of one layer) lies where the dense layer
    or LSTM lies here; buffers `scaling_<modality>.mean` and `.scale` scale the features.

    Args:
        params: without a leading axis.
        scaling: of the features.
    """
    found = {}
    for path, array in traverse_util.flatten_dict(params).items():
        # A dot separates modules there.
        modules = (part.replace(".", "_") for part in path[:-1])
        name = ".".join((*modules, _TORCH[path[-1]]))
        found[name] = np.ascontiguousarray(np.asarray(array).T)
    for modality, mean in scaling.mean.items():
        module = f"scaling_{modality}".replace(".", "_")
        found[f"{module}.mean"] = mean
        found[f"{module}.scale"] = scaling.scale[modality]
    return found
