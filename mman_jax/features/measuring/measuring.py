"""Measuring one utterance into the cache: what a local process and a Beam worker both do."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import cells, extraction, media
from mman_jax.features.encoders import states
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import cache
from mman_jax.features.settings import Settings
from mman_jax.files.regular import check_regular


@dataclasses.dataclass(frozen=True)
class Measuring:
    """A pure function of one utterance, but for the cache; it travels to other processes.

    Attributes:
        settings: how.
        folder: the cache, which all processes reach.
        weights: the file of the network for pictures, or "": windows are kept, to train on.
        digest: of that file, so that other weights are other measurements.
        sequences: the modalities of which the cells inside utterances are measured, too.
    """

    settings: Settings
    folder: str
    weights: str = ""
    digest: str = ""
    sequences: tuple[str, ...] = ()

    def __call__(self, utterance: Utterance) -> str | None:
        """Measures what the cache lacks; returns what went wrong, or None."""
        try:
            for modality in self.settings.modalities:
                name = self.key(utterance, modality)
                if name is None or cache.has(pathlib.Path(self.folder), name):
                    continue
                pretrained = _weights(self.weights) if self.weights else None
                found = extraction.measure(modality, utterance, self.settings, pretrained)
                cache.save(pathlib.Path(self.folder), name, found)
            for modality in self.sequences:
                name = self.cells_key(utterance, modality)
                if name is None or cache.has(pathlib.Path(self.folder), name):
                    continue
                found = cells.measure(modality, utterance, self.settings)
                cache.save(pathlib.Path(self.folder), name, found)
        except InputError as error:
            return str(error)
        except Exception as error:
            # One clip never ends the others, whatever a codec makes of it.
            return f"{utterance.path}: {type(error).__name__}: {error}"
        return None

    @property
    def batched(self) -> tuple[str, ...]:
        """The modalities that `together` measures."""
        return tuple(m for m in ("speech", "text") if m in self.settings.encoders)

    def together(self, utterances: Sequence[Utterance]) -> None:
        """Measures by encoders what the cache lacks of several, in batches, as far as that goes.

        A call for each of them then measures what is left, and says what is wrong with it.
        """
        for modality in self.batched:
            try:
                self._encode(utterances, modality)
            except Exception:  # of one of them, which fails again when it is alone
                continue

    def _encode(self, utterances: Sequence[Utterance], modality: str) -> None:
        encoder, folder = self.settings.encoders[modality], pathlib.Path(self.folder)
        chosen, given = [], []
        for utterance in utterances:
            name, inside = self.key(utterance, modality), self._inside(utterance, modality)
            if name is None or all(cache.has(folder, n) for n in (name, inside) if n):
                continue
            try:
                part = utterance.path, utterance.start, utterance.end
                read = media.read_audio(*part) if modality == "speech" else utterance.transcript
            except Exception:  # as above
                continue
            chosen.append((name, inside))
            given.append(read)
        found = states.of_speech if modality == "speech" else states.of_text
        for (name, inside), read, own in zip(chosen, given, found(encoder, given), strict=True):
            cache.save(folder, name, states.pooled(own))
            if inside:
                cache.save(folder, inside, cells.of_sound(own, len(read)))

    def _inside(self, utterance: Utterance, modality: str) -> str | None:
        """The name of an utterance's cells, where they are wanted."""
        return self.cells_key(utterance, modality) if modality in self.sequences else None

    def key(self, utterance: Utterance, modality: str) -> str | None:
        """The name in the cache; None for text that is kept as it is, which the manifest holds."""
        encoder = self.settings.encoders.get(modality)
        if modality == "text" and not (encoder and utterance.transcript):
            return None
        measured_by = dict(getattr(self.settings, modality).measured_by)
        if modality == "text":
            measured_by |= {"transcript": utterance.transcript}
        elif modality == "visual" and not encoder:
            measured_by |= {"weights": self.digest}
        return cache.key(utterance, modality, measured_by)

    def cells_key(self, utterance: Utterance, modality: str) -> str | None:
        """The name of an utterance's cells in the cache; None for text."""
        if modality == "text":
            return None
        measured_by = cells.measured_by(modality, self.settings)
        return cache.key(utterance, f"{modality}, cells", measured_by)

    def done(self, utterance: Utterance) -> bool:
        """Whether the cache holds all of an utterance."""
        names = [self.key(utterance, modality) for modality in self.settings.modalities]
        names += [self.cells_key(utterance, modality) for modality in self.sequences]
        return all(cache.has(pathlib.Path(self.folder), name) for name in names if name)

    def result(self, utterance: Utterance, modality: str) -> np.ndarray:
        """A measurement that was made.

        Raises:
            InputError: it was not, or its file is gone.
        """
        name = self.key(utterance, modality)
        if name is None:
            return extraction.measure(modality, utterance, self.settings)
        return self._kept(utterance, modality, name)

    def cells(self, utterance: Utterance, modality: str) -> np.ndarray:
        """What was measured of an utterance's cells, of speech or of pictures.

        Raises:
            InputError: it was not, or its file is gone.
        """
        return self._kept(utterance, modality, self.cells_key(utterance, modality))

    def _kept(self, utterance: Utterance, modality: str, name: str) -> np.ndarray:
        found = cache.load(pathlib.Path(self.folder), name)
        if found is None:
            where = f"{self.folder}: {utterance.name}, modality {modality}"
            raise InputError(where, "not in the cache", "a cache and clips that nobody changes")
        return found


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    check_regular(path, "a file of weights")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "a file of weights") from error


@functools.lru_cache(maxsize=1)
def _weights(path: str) -> extraction.Arrays:
    return extraction.read_weights(path)
