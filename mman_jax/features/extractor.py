"""Interface of extractors, which compute the features of a modality of clips."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """Data for fitting extractors, in addition to the measurements of N training utterances."""

    labels: np.ndarray  # [N] int32; -1: no label
    seed: int = 0  # of the networks that are trained
    weights: Arrays | None = None  # of the network for pictures; None: the network is trained
    vectors: Path | None = None  # a file of word vectors, which the network for text needs
    progress: Callable[[int, float], None] = lambda epoch, loss: None


class Extractor(abc.ABC):
    """A method of computing features of a modality; a subclass's fields are its settings.

    `measure` depends on a single utterance. `fit` computes the arrays `fitted` from measurements of
    training utterances, and `apply` converts measurements to features with them. Cells are the
    parts of an utterance: words, frames or windows. `weights` are those of a pre-trained network
    for pictures, or None.
    """

    batched: ClassVar[bool] = False  # whether `measure_together` is faster than `measure`

    @property
    @abc.abstractmethod
    def measured_by(self) -> dict[str, Any]:
        """Returns the settings on which a measurement depends."""

    @property
    def cells_measured_by(self) -> dict[str, Any]:
        """Returns the settings on which the measurement of cells depends."""
        return self.measured_by

    def cached_by(self, utterance: Utterance, weights: str) -> dict[str, Any] | None:
        """Returns what a measurement depends on besides the clip; None if it is not cached.

        `weights` is the digest of the weights, or empty.
        """
        return self.measured_by

    @abc.abstractmethod
    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures one utterance, or raises an InputError."""

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures an utterance's cells, in addition to `measure`."""
        raise NotImplementedError

    def measure_together(
        self, utterances: Sequence[Utterance]
    ) -> Iterator[tuple[Utterance, np.ndarray, np.ndarray]]:
        """Yields the measurable utterances, with the results of `measure` and `measure_cells`."""
        raise NotImplementedError

    def needs_fitting(self, pretrained: bool) -> bool:
        """Returns whether `fit` uses training data; `pretrained`: whether there are weights."""
        return self.needs_labels(pretrained)

    def needs_labels(self, pretrained: bool) -> bool:
        """Returns whether `fit` trains a network on labels."""
        return False

    def fit(self, measured: Sequence[np.ndarray], data: TrainingData) -> Arrays:
        """Fits to measurements of training utterances; an InputError if there are too few."""
        return {}

    def apply(self, fitted: Arrays, measured: Sequence[np.ndarray]) -> np.ndarray:
        """Computes features [N, D] float32 of N measurements, each independent of the others."""
        return np.stack(measured)

    def cells(
        self, fitted: Arrays, measured: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns values [T, D] and times [T, 2] in seconds of one utterance's cells.

        `measured` and `cells` are the results of `measure` and `measure_cells`.
        """
        raise NotImplementedError

    def check(self, weights: Arrays | None, place: object) -> None:  # noqa: B027 (not all need it)
        """Checks libraries, encoders and weights (from `place`) before clips are read."""

    def licence(self, fitted: Arrays) -> str:
        """Returns a notice on licences that apply to the features, or an empty text."""
        return ""


class SpeechExtractor(Extractor):
    """An extractor of speech features."""

    @abc.abstractmethod
    def of_sound(self, samples: np.ndarray) -> np.ndarray:
        """Measures the audio of one utterance, [samples] float32 at `media.SAMPLE_RATE`."""

    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures the audio of a clip."""
        samples = utterance.read_audio()
        try:
            return self.of_sound(samples)
        except InputError as error:
            raise InputError(utterance.path, str(error)) from error


class TextExtractor(Extractor):
    """An extractor of text features; by default the measurement is the transcript itself."""

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns no settings."""
        return {}

    def cached_by(self, utterance: Utterance, weights: str) -> dict[str, Any] | None:
        """Returns None, since the transcript is in the manifest."""
        return None

    def of_words(self, transcript: str) -> np.ndarray:
        """Measures a transcript."""
        return np.array(transcript)

    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures the transcript of an utterance."""
        if not utterance.transcript:
            raise InputError(utterance.name, "no transcript", "its words")
        return self.of_words(utterance.transcript)

    @abc.abstractmethod
    def word_vectors(self, fitted: Arrays, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns vectors [n, D] float32 of the n words of each text, zeros for unknown words."""
