"""Measuring of one utterance into a cache, by a local process or by a worker of Apache Beam."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.encoders.folders import file_digest
from mman_jax.features.extractor import Arrays, Extractor
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.files.whole import check_regular, writing

_VERSION = 3  # of what a measurement means; another one leaves older files unused


@dataclasses.dataclass(frozen=True)
class Measuring:
    """A function that measures an utterance into a cache; it can be sent to other processes.

    Attributes:
        settings: the extractor of each modality.
        folder: the cache, which all processes reach: a file per utterance and modality.
        weights: the file of the network for pictures, or "": windows are stored, to train on.
        digest: of that file, so that other weights are other measurements.
        sequences: the modalities whose cells are measured in addition.
    """

    settings: Settings
    folder: str
    weights: str = ""
    digest: str = ""
    sequences: tuple[str, ...] = ()

    def __call__(self, utterance: Utterance) -> str | None:
        """Measures what the cache lacks; returns what went wrong, or None."""
        try:
            weights = _read_weights(self.weights) if self.weights else None
            for modality, extractor in self.settings.extractors.items():
                if self._lacks(name := self.key(utterance, modality)):
                    self.store(name, extractor.measure(utterance, weights))
                if self._lacks(name := self._cells_key(utterance, modality)):
                    self.store(name, extractor.measure_cells(utterance))
        except InputError as error:
            return str(error)
        except Exception as error:
            # One clip never ends the others, whatever a codec makes of it.
            return f"{utterance.path}: {type(error).__name__}: {error}"
        return None

    @property
    def batched(self) -> dict[str, Extractor]:
        """Returns the extractors that measure several utterances at once."""
        return {name: e for name, e in self.settings.extractors.items() if e.batched}

    def together(self, utterances: Sequence[Utterance]) -> None:
        """Measures what the cache lacks of several utterances at once, as far as that succeeds.

        A call for each of them then measures what is left, and reports what is wrong with it.
        """
        for modality, extractor in self.batched.items():
            missing = [
                u
                for u in utterances
                if self._lacks(self.key(u, modality)) or self._lacks(self._cells_key(u, modality))
            ]
            try:
                for utterance, measured, cells in extractor.measure_together(missing):
                    self.store(self.key(utterance, modality), measured)
                    self.store(self._cells_key(utterance, modality), cells)
            except Exception:  # of one of them, which fails again when it is alone
                continue

    def key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of a measurement in the cache; None: the manifest holds it."""
        depends = self.settings.extractors[modality].cached_by(utterance, self.digest)
        return None if depends is None else _key(utterance, modality, depends)

    def _cells_key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of an utterance's cells in the cache; None: they are not measured."""
        if modality not in self.sequences or modality == "text":
            return None
        depends = self.settings.extractors[modality].cells_measured_by
        return _key(utterance, f"{modality}, cells", depends)

    def done(self, utterance: Utterance) -> bool:
        """Returns whether the cache holds all of an utterance."""
        return not any(
            self._lacks(key(utterance, modality))
            for modality in self.settings.modalities
            for key in (self.key, self._cells_key)
        )

    def result(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns a measurement that was made.

        Raises:
            InputError: it was not, or its file is gone.
        """
        name = self.key(utterance, modality)
        if name is None:
            return self.settings.extractors[modality].measure(utterance)
        return self._stored(utterance, modality, name)

    def cells(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns what was measured of the cells of an utterance, for one of `sequences`.

        Raises:
            InputError: it was not, or its file is gone.
        """
        return self._stored(utterance, modality, self._cells_key(utterance, modality))

    def store(self, name: str | None, array: np.ndarray) -> None:
        """Writes an array to the cache, whole or not at all, unless its name is None.

        Raises:
            InputError: it cannot be written.
        """
        if name is not None:
            with writing(self._path(name), "a writable folder", self.folder) as file:
                np.save(file, array, allow_pickle=False)

    def _load(self, name: str) -> np.ndarray | None:
        """Reads an array from the cache; None: it is not there, or damaged."""
        try:
            return np.load(self._path(name), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def _lacks(self, name: str | None) -> bool:
        return name is not None and self._load(name) is None

    def _stored(self, utterance: Utterance, modality: str, name: str | None) -> np.ndarray:
        array = None if name is None else self._load(name)
        if array is None:
            place = f"{self.folder}: {utterance.name}, modality {modality}"
            raise InputError(place, "not in the cache", "a cache and clips that nobody changes")
        return array

    def _path(self, name: str) -> pathlib.Path:
        # 256 folders: some file systems are slow with a hundred thousand files in one.
        return pathlib.Path(self.folder) / name[:2] / f"{name}.npy"


def _key(utterance: Utterance, modality: str, depends: dict[str, Any]) -> str:
    """Returns a name that changes with the clip, the part of it and the settings."""
    try:
        stat = os.stat(utterance.path)
        file = [os.path.realpath(utterance.path), stat.st_size, stat.st_mtime_ns]
    except OSError:
        file = [utterance.path]
    parts = [_VERSION, modality, depends, file, utterance.start, utterance.end]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(path: pathlib.Path) -> str:
    """Computes SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    check_regular(path, "a file of weights")
    return file_digest(path, "a file of weights").hex()


@functools.lru_cache(maxsize=1)
def _read_weights(path: str) -> Arrays:
    return extraction.read_weights(path)
