"""Named tensors in safetensors files, which cannot contain code."""

import pathlib
from collections.abc import Mapping
from types import ModuleType

import numpy as np

from mman_jax.errors import InputError, reading, require

_PICKLES = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def safetensors_numpy() -> ModuleType:
    """Imports safetensors for NumPy, or raises an InputError."""
    return require("safetensors.numpy", "export", "safetensors files", "safetensors")


def to_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Returns a safetensors file of these tensors."""
    # Views are copied, because safetensors stores the memory as it is.
    plain = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors_numpy().save(plain)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a safetensors file by name.

    Raises:
        InputError: safetensors is missing, or the file is missing or damaged.
    """
    numpy = safetensors_numpy()
    with reading(path, "a .safetensors file"):
        return numpy.load(path.read_bytes())


def check_no_pickle(folder: pathlib.Path) -> None:
    """Raises an InputError if a model's folder contains a pickle."""
    for path in sorted(folder.rglob("*")):
        check_name(path)


def check_name(path: pathlib.PurePath | str, place: object = None) -> None:
    """Raises an InputError if a file has a suffix of pickles; `place` replaces its path."""
    if pathlib.PurePath(path).suffix.lower() in _PICKLES:
        found = f"a pickle, which can run code ({pathlib.PurePath(path).name})"
        raise InputError(place or path, found, "only numbers in .safetensors files")
