"""Parameters as named tensors: exact copies in safetensors files, and PyTorch's layout."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError, nearest
from mman_jax.files import tensors
from mman_jax.inference.model import Model

_EXPECTED = "the tensors of mman export"

# PyTorch stores matrices as [outputs, inputs]; the order of an LSTM's gates (i, f, g, o) is equal.
_TORCH = {
    "kernel": "weight",
    "bias": "bias",
    "kernel_input": "weight_ih_l0",
    "kernel_hidden": "weight_hh_l0",
    "bias_input": "bias_ih_l0",
    "bias_hidden": "bias_hh_l0",
    "choice": "choice",
}


def pack(models: Sequence[Model]) -> bytes:
    """Serialises the parameters [S, ...] of a run; one-vs-rest models have their task as prefix."""
    named = {
        prefix + name: tensor
        for prefix, model in zip(_prefixes(models), models, strict=True)
        for name, tensor in to_tensors(model.params).items()
    }
    return tensors.to_bytes(named)


def replace(models: Sequence[Model], path: pathlib.Path) -> list[Model]:
    """Returns the models with the parameters of a file that `pack` wrote, possibly edited."""
    named = tensors.read(path)
    replaced, prefixes = [], _prefixes(models)
    for prefix, model in zip(prefixes, models, strict=True):
        subset = {n.removeprefix(prefix): x for n, x in named.items() if n.startswith(prefix)}
        place = f"{path}: {prefix}".rstrip(": ")
        params = from_tensors(subset, model.params, place)
        replaced.append(dataclasses.replace(model, params=params))
    for name in named:
        if not name.startswith(prefixes):
            raise InputError(f"{path}: tensor {name}", "unexpected", f"{', '.join(prefixes)}...")
    return replaced


def to_tensors(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the leaves of nested dicts of arrays by their path, joined by `/`."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return {name: np.ascontiguousarray(array) for name, array in flat.items()}


def from_tensors(
    tensors: Mapping[str, np.ndarray], like: Mapping[str, Any], place: object = "weights"
) -> dict[str, Any]:
    """Returns tensors of `to_tensors` as nested dicts.

    Args:
        tensors: [S, ...] float32 by name, with the same S.
        like: parameters of the same network, with any S.
        place: place of the tensors, for messages.

    Raises:
        InputError: a tensor is missing, unexpected, not finite, or has a wrong shape or dtype.
    """
    expected = to_tensors(like)
    for name in sorted(expected.keys() - tensors.keys()):
        raise InputError(f"{place}: tensor {name}", "missing", _EXPECTED)
    for name in sorted(tensors.keys() - expected.keys()):
        raise InputError(f"{place}: tensor {name}", "unexpected", nearest(name, expected))
    first = tensors[next(iter(expected))]
    seeds = max(1, len(first)) if first.ndim else 1
    for name, array in expected.items():
        where, tensor = f"{place}: tensor {name}", tensors[name]
        shape = (seeds, *array.shape[1:])
        if tensor.shape != shape or tensor.dtype != array.dtype:
            found = f"{tensor.dtype} of shape {tensor.shape}"
            raise InputError(where, found, f"{array.dtype} of shape {shape}")
        if not np.isfinite(tensor).all():
            raise InputError(where, "not finite", "finite numbers")
    return traverse_util.unflatten_dict({name: tensors[name] for name in expected}, sep="/")


def to_torch(params: Mapping[str, Any], scaling: Scaling) -> dict[str, np.ndarray]:
    """Returns one seed's parameters, without a leading axis, as a PyTorch state dict.

    Paths are joined by `.`; each dense layer is an `nn.Linear`, each LSTM a single-layer `nn.LSTM`;
    the buffers `scaling_<modality>.mean` and `.scale` scale the features, and if they are reduced,
    `.components` and `.offset`.
    """
    state = {}
    for path, array in traverse_util.flatten_dict(params).items():
        # PyTorch separates modules by dots.
        modules = (part.replace(".", "_") for part in path[:-1])
        name = ".".join((*modules, _TORCH[path[-1]]))
        state[name] = np.ascontiguousarray(np.asarray(array).T)
    for buffer, arrays in scaling.arrays().items():
        for modality, array in arrays.items():
            module = f"scaling_{modality}".replace(".", "_")
            state[f"{module}.{buffer}"] = array
    return state


def _prefixes(models: Sequence[Model]) -> tuple[str, ...]:
    return ("",) if len(models) == 1 else tuple(f"{model.card['task']}/" for model in models)
