"""Files of tensors (safetensors), and a run's parameters in one of them."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference import weights
from mman_jax.inference.model import Model

INSTALL = "pip install 'mman_jax[export]'"


def safetensors_numpy() -> ModuleType:
    """safetensors, for NumPy.

    Raises:
        InputError: it is not installed.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise InputError("safetensors", "not installed", INSTALL) from error
    return safetensors.numpy


def pack(models: Sequence[Model]) -> bytes:
    """The parameters [S, ...] of a run; of one-vs-rest models each name begins with its task."""
    named = {
        prefix + name: tensor
        for prefix, model in zip(_prefixes(models), models, strict=True)
        for name, tensor in weights.to_tensors(model.params).items()
    }
    return safetensors_numpy().save(named)


def replace(models: Sequence[Model], path: pathlib.Path) -> list[Model]:
    """The models with the parameters of a file that `pack` wrote, as somebody may have edited it.

    Raises:
        InputError: the file cannot be read, or a tensor in it does not fit.
    """
    tensors, made = _read(path), []
    prefixes = _prefixes(models)
    for prefix, model in zip(prefixes, models, strict=True):
        named = [name for name in tensors if name.startswith(prefix)]
        own = {name.removeprefix(prefix): tensors[name] for name in named}
        place = f"{path}: {prefix}".rstrip(": ")
        params = weights.from_tensors(own, model.params, place)
        made.append(dataclasses.replace(model, params=params))
    for name in tensors:
        if not name.startswith(prefixes):
            raise InputError(f"{path}: tensor {name}", "unexpected", f"{', '.join(prefixes)}...")
    return made


def _prefixes(models: Sequence[Model]) -> tuple[str, ...]:
    return ("",) if len(models) == 1 else tuple(f"{model.card['task']}/" for model in models)


def _read(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    reader = safetensors_numpy()
    try:
        return reader.load(path.read_bytes())
    except Exception as error:
        # Bytes that are no tensors can fail in any way; none of them is a bug of ours.
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error!s:.200}"
        raise InputError(path, f"unreadable ({reason})", "a .safetensors file") from error
