"""Extractors: the ways in which a modality of clips becomes features."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.manifest import Utterance

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """What extractors are fitted with besides the measurements of N training utterances.

    Attributes:
        labels: [N] int32; -1: no label.
        seed: of the networks that are trained.
        weights: pre-trained weights of the network for pictures, or None: it is trained.
        vectors: a file of word vectors, which the network for text needs.
        progress: called with the number and the mean loss of each epoch.
    """

    labels: np.ndarray
    seed: int = 0
    weights: Arrays | None = None
    vectors: Path | None = None
    progress: Callable[[int, float], None] = lambda epoch, loss: None


class Extractor(abc.ABC):
    """One way in which a modality becomes features; a subclass's fields are its settings.

    `measure` depends on one utterance alone. What `fit` learns from the measurements of training
    utterances, `fitted`, turns measurements into features. Cells are the parts of an utterance:
    words, frames or windows. `weights` are those of a pre-trained network for pictures, or None.
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
        """Returns all that a measurement depends on except the clip; None: it is not cached.

        `weights` is the digest of the weights, or empty.
        """
        return self.measured_by

    @abc.abstractmethod
    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures one utterance.

        Raises:
            InputError: a clip or a transcript that cannot be used.
        """

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures of an utterance's cells what `measure` does not."""
        raise NotImplementedError

    def measure_together(
        self, utterances: Sequence[Utterance]
    ) -> Iterator[tuple[Utterance, np.ndarray, np.ndarray]]:
        """Yields the utterances that can be measured, with the results of both `measure`s."""
        raise NotImplementedError

    def needs_fitting(self, pretrained: bool) -> bool:
        """Returns whether `fit` learns anything; `pretrained`: whether there are weights."""
        return self.needs_labels(pretrained)

    def needs_labels(self, pretrained: bool) -> bool:
        """Returns whether `fit` trains a network on labels."""
        return False

    def fit(self, measured: Sequence[np.ndarray], data: TrainingData) -> Arrays:
        """Fits to the measurements of training utterances.

        Raises:
            InputError: too few utterances or labels.
        """
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
        """Checks libraries, encoders and weights (which come from `place`) before clips are read.

        Raises:
            InputError: one is missing, or of another network.
        """

    def licence(self, fitted: Arrays) -> str:
        """Returns what a user of the features must know of licences, in a sentence or two."""
        return ""


class SpeechExtractor(Extractor):
    """An extractor of speech features."""

    @abc.abstractmethod
    def of_sound(self, samples: np.ndarray) -> np.ndarray:
        """Measures the sound of one utterance, [samples] float32 at `media.SAMPLE_RATE`.

        Raises:
            InputError: sound that cannot be used.
        """

    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures the sound of a clip."""
        samples = media.read_audio(utterance.path, utterance.start, utterance.end)
        try:
            return self.of_sound(samples)
        except InputError as error:
            raise InputError(utterance.path, str(error)) from error


class TextExtractor(Extractor):
    """An extractor of text features; by default a transcript is its own measurement."""

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns no settings."""
        return {}

    def cached_by(self, utterance: Utterance, weights: str) -> dict[str, Any] | None:
        """Returns None: the manifest holds the transcript."""
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
        """Returns for each text of n words a vector [n, D] float32 per word, zeros if unknown."""
