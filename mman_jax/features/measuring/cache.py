"""Measurements kept on disk, a file for each utterance and modality, so that a run can go on."""

import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from mman_jax.features.manifest import Utterance
from mman_jax.files.whole import writing

_VERSION = 3  # of what a measurement means; another one leaves older files unused


def key(utterance: Utterance, modality: str, measured_by: dict[str, Any]) -> str:
    """A name for what is measured: it changes with the clip, the part of it and the settings."""
    try:
        stat = os.stat(utterance.path)
        file = [os.path.realpath(utterance.path), stat.st_size, stat.st_mtime_ns]
    except OSError:
        file = [utterance.path]
    parts = [_VERSION, modality, measured_by, file, utterance.start, utterance.end]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load(folder: pathlib.Path, name: str) -> np.ndarray | None:
    """What was kept, or None: nothing, or a damaged file."""
    try:
        return np.load(_path(folder, name), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def has(folder: pathlib.Path, name: str) -> bool:
    """Whether something whole is kept."""
    return load(folder, name) is not None


def save(folder: pathlib.Path, name: str, array: np.ndarray) -> None:
    """Keeps an array; whoever reads meanwhile sees all of it or none.

    Raises:
        InputError: if it cannot be written.
    """
    with writing(_path(folder, name), "a writable folder", folder) as file:
        np.save(file, array, allow_pickle=False)


def _path(folder: pathlib.Path, name: str) -> pathlib.Path:
    # 256 folders: some file systems are slow with a hundred thousand files in one.
    return folder / name[:2] / f"{name}.npy"
