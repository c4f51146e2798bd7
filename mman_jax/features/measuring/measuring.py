"""Measurement of an utterance into a cache, by a local process or a worker of Apache Beam."""

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

_VERSION = 3  # version of the measurements; files of other versions are ignored


@dataclasses.dataclass(frozen=True)
class Measuring:
    """A picklable function that measures an utterance into a cache.

    Attributes:
        settings: the extractor of each modality.
        folder: folder of the cache, shared by all processes: a file per utterance and modality.
        weights: weight file of the network for pictures; if empty, windows are stored for training.
        digest: digest of that file, on which measurements depend.
        sequences: the modalities whose cells are also measured.
    """

    settings: Settings
    folder: str
    weights: str = ""
    digest: str = ""
    sequences: tuple[str, ...] = ()

    def __call__(self, utterance: Utterance) -> str | None:
        """Measures the uncached modalities; returns an error message, or None."""
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
            # Errors in one clip, of any kind, must not stop the others.
            return f"{utterance.path}: {type(error).__name__}: {error}"
        return None

    @property
    def batched(self) -> dict[str, Extractor]:
        """Returns the extractors that measure several utterances at once."""
        return {name: e for name, e in self.settings.extractors.items() if e.batched}

    def together(self, utterances: Sequence[Utterance]) -> None:
        """Measures uncached modalities of several utterances at once, as far as possible.

        Calls for single utterances then measure the rest, and report errors.
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
            except Exception:  # it is raised again when the utterance is measured alone
                continue

    def key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of a measurement in the cache; None if it is in the manifest."""
        depends = self.settings.extractors[modality].cached_by(utterance, self.digest)
        return None if depends is None else _key(utterance, modality, depends)

    def _cells_key(self, utterance: Utterance, modality: str) -> str | None:
        """Returns the name of an utterance's cells in the cache; None if they are not measured."""
        if modality not in self.sequences or modality == "text":
            return None
        depends = self.settings.extractors[modality].cells_measured_by
        return _key(utterance, f"{modality}, cells", depends)

    def done(self, utterance: Utterance) -> bool:
        """Returns whether all measurements of an utterance are cached."""
        return not any(
            self._lacks(key(utterance, modality))
            for modality in self.settings.modalities
            for key in (self.key, self._cells_key)
        )

    def result(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns a measurement from the cache.

        Raises:
            InputError: the utterance was not measured, or the file is missing.
        """
        name = self.key(utterance, modality)
        if name is None:
            return self.settings.extractors[modality].measure(utterance)
        return self._stored(utterance, modality, name)

    def cells(self, utterance: Utterance, modality: str) -> np.ndarray:
        """Returns the measurement of an utterance's cells, for one of `sequences`.

        Raises:
            InputError: the cells were not measured, or the file is missing.
        """
        return self._stored(utterance, modality, self._cells_key(utterance, modality))

    def store(self, name: str | None, array: np.ndarray) -> None:
        """Writes an array atomically to the cache, unless its name is None.

        Raises:
            InputError: the file cannot be written.
        """
        if name is not None:
            with writing(self._path(name), "a writable folder", self.folder) as file:
                np.save(file, array, allow_pickle=False)

    def _load(self, name: str) -> np.ndarray | None:
        """Reads an array from the cache; returns None if it is missing or damaged."""
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
        # 256 folders, since some file systems are slow with many files in one folder.
        return pathlib.Path(self.folder) / name[:2] / f"{name}.npy"


def _key(utterance: Utterance, modality: str, depends: dict[str, Any]) -> str:
    """Returns a name that depends on the clip, its part and the settings."""
    try:
        stat = os.stat(utterance.path)
        file = [os.path.realpath(utterance.path), stat.st_size, stat.st_mtime_ns]
    except OSError:
        file = [utterance.path]
    parts = [_VERSION, modality, depends, file, utterance.start, utterance.end]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest(path: pathlib.Path) -> str:
    """Computes the SHA-256 digest of a file.

    Raises:
        InputError: the file cannot be read.
    """
    check_regular(path, "a file of weights")
    return file_digest(path, "a file of weights").hex()


@functools.lru_cache(maxsize=1)
def _read_weights(path: str) -> Arrays:
    return extraction.read_weights(path)
