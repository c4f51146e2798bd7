"""Features from pretrained encoders: mean and standard deviation of their hidden states."""

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.encoders import folders, networks
from mman_jax.features.extractor import Arrays, Extractor, SpeechExtractor, TextExtractor
from mman_jax.features.manifest import Utterance
from mman_jax.features.media import SAMPLE_RATE

_PIECE = 30 * SAMPLE_RATE  # largest number of samples, since memory grows with the square
_SHORTEST = SAMPLE_RATE // 10
_SOUND = 8 * SAMPLE_RATE  # samples of a batch; on CPUs the padding of longer ones costs more time
_TOKENS = 4096  # tokens of a batch
_PICTURES = 16  # pictures of a batch
_SIDE = 336  # pixels of the shorter side, as the largest of the common encoders read


@dataclasses.dataclass(frozen=True)
class Encoder(Extractor):
    """A pretrained encoder; features are the mean and the deviation of its states, [2 D]."""

    modality: ClassVar[str]

    name: str  # see `folders.find`
    digest: str  # of the encoder's files, see `folders.digest`; others are an error
    layer: int = -1  # whose states are used; -1 is the last, 0 the input of the first
    rate: float = 15.0  # frames per second of the clip from which pictures are selected
    frames: int = 16  # largest number of pictures of an utterance, spread evenly

    def __post_init__(self):
        if self.frames < 1:
            raise InputError("visual frames", str(self.frames), "1 or more")
        if not 0 < self.rate <= 1000:
            raise InputError("visual rate", str(self.rate), "frames per second, above 0")

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns the settings on which a measurement depends: all except the encoder's name."""
        fields = ("digest", "layer", "rate", "frames")
        return {field: getattr(self, field) for field in fields}

    @property
    def folder(self) -> str:
        """Returns the encoder's folder on this machine, after checking its digest."""
        return folders.checked(self.name, self.digest)

    def cells(
        self, fitted: Arrays, measured: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns states and times of one utterance."""
        return cells[:, 2:], cells[:, :2]

    def check(self, weights: Arrays | None, place: object) -> None:
        """Checks that the encoder is installed, supports the modality and has the layer."""
        layers = networks.count_layers(self.folder, self.modality)
        if not -layers - 1 <= self.layer <= layers:
            expected = f"from {-layers - 1} to {layers}, whose network has {layers} layers"
            raise InputError(self.name, f"layer {self.layer}", expected)

    def licence(self, fitted: Arrays) -> str:
        """Returns a reference to the licence of the encoder."""
        origin = f"{self.modality.capitalize()} features are of the pretrained encoder"
        return f"{origin} {self.name.rpartition('/')[2]}, which has its own licence."


class _Batched(Encoder):
    """An encoder that processes several utterances at once, given by audio or text."""

    batched = True

    @abc.abstractmethod
    def _read(self, utterance: Utterance) -> Any:
        """Reads the input of an utterance."""

    @abc.abstractmethod
    def states(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Computes states [T, D] float32 of each input."""

    def _cells(self, states: np.ndarray, given: Any) -> np.ndarray:
        return states

    def measure_together(
        self, utterances: Sequence[Utterance]
    ) -> Iterator[tuple[Utterance, np.ndarray, np.ndarray]]:
        """Yields the readable utterances, with pooled states and the measurement of cells."""
        inputs = {}
        for utterance in utterances:
            with contextlib.suppress(Exception):  # raised again when it is measured separately
                inputs[utterance] = self._read(utterance)
        states = self.states(list(inputs.values())) if inputs else []
        for (utterance, x), of_one in zip(inputs.items(), states, strict=True):
            yield utterance, pooled(of_one), self._cells(of_one, x)


class SpeechEncoder(_Batched, SpeechExtractor):
    """An encoder of audio; its cells are the states."""

    modality = "speech"

    def _read(self, utterance: Utterance) -> np.ndarray:
        return utterance.read_audio()

    def states(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Computes states [T, D] float32 of each [samples] at 16 kHz, at T evenly spaced times.

        Inputs longer than half a minute are processed in pieces.
        """
        network = networks.load(self.folder, "speech")
        pieces: list[np.ndarray] = []
        counts = []
        for samples in inputs:
            parts = [samples[i : i + _PIECE] for i in range(0, len(samples), _PIECE)]
            if len(parts) > 1 and len(parts[-1]) < _SHORTEST:
                parts[-2:] = [np.concatenate(parts[-2:])]
            pieces += [np.pad(part, (0, max(0, _SHORTEST - len(part)))) for part in parts]
            counts.append(len(parts))
        tensors = [{"input_values": network.sound(piece)} for piece in pieces]
        states = networks.states(self.folder, "speech", self.layer, tensors, _SOUND)
        ends = np.cumsum(counts)
        return [np.concatenate(states[end - n : end]) for end, n in zip(ends, counts, strict=True)]

    def of_sound(self, samples: np.ndarray) -> np.ndarray:
        """Measures the audio of one utterance, as [2 D] float32."""
        return pooled(self.states([samples])[0])

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures start and end of each state, and the states: [T, 2 + D] float64."""
        samples = self._read(utterance)
        return self._cells(self.states([samples])[0], samples)

    def _cells(self, states: np.ndarray, given: np.ndarray) -> np.ndarray:
        edges = np.linspace(0, len(given) / SAMPLE_RATE, len(states) + 1)
        return np.concatenate([np.stack([edges[:-1], edges[1:]], axis=1), states], axis=1)


class TextEncoder(_Batched, TextExtractor):
    """An encoder of transcripts; its cells are words, the means of their tokens' states."""

    modality = "text"

    def cached_by(self, utterance: Utterance, weights: str) -> dict[str, Any] | None:
        """Returns the settings and the transcript; None without a transcript."""
        if not utterance.transcript:
            return None
        return self.measured_by | {"transcript": utterance.transcript}

    def _read(self, utterance: Utterance) -> str:
        return utterance.transcript

    def states(self, inputs: Sequence[str]) -> list[np.ndarray]:
        """Computes states [T, D] float32 of each text's tokens, up to the encoder's limit."""
        return [states for states, _ in self._of_tokens(inputs)]

    def of_words(self, transcript: str) -> np.ndarray:
        """Measures a transcript, as [2 D] float32."""
        return pooled(self.states([transcript])[0])

    def word_vectors(self, fitted: Arrays, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the mean states [n, D] float32 of the tokens of each word, by text.

        A word without tokens, or beyond the encoder's limit, gets zeros.
        """
        # The words form one text, since tokens of some encoders start with the preceding space.
        joined = self._of_tokens([" ".join(words) for words in texts])
        return [_by_word(words, *tokens) for words, tokens in zip(texts, joined, strict=True)]

    def _of_tokens(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Computes the states [T, D] of each text's tokens, and the ends of tokens, [T] int64."""
        network = networks.load(self.folder, "text")
        pairs = [network.tokens(text) for text in texts]
        tokens = [tensors for tensors, _ in pairs]
        states = networks.states(self.folder, "text", self.layer, tokens, _TOKENS)
        return [(x, ends) for x, (_, ends) in zip(states, pairs, strict=True)]


class VisualEncoder(Encoder):
    """An encoder of pictures; its cells are the pictures' states."""

    modality = "visual"

    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures an utterance's pictures, as [2 D] float32."""
        return pooled(self.states(self._read(utterance)[0]))

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures start and end of each picture, and its state: [F, 2 + D] float64."""
        pictures, times = self._read(utterance)
        return np.concatenate([times, self.states(pictures)], axis=1)

    def states(self, frames: np.ndarray) -> np.ndarray:
        """Computes a state [F, D] float32 of each picture [F, H, W, 3] uint8.

        It is the mean of the states of the picture's positions.
        """
        network = networks.load(self.folder, "visual")
        states = []
        for first in range(0, len(frames), _PICTURES):
            pixels = network.pictures(frames[first : first + _PICTURES])
            states.append(network.states(self.layer, pixel_values=pixels).mean(1))
        return np.concatenate(states)

    def _read(self, utterance: Utterance) -> tuple[np.ndarray, np.ndarray]:
        """Reads pictures [F, H, W, 3] uint8 spread evenly over a clip, and their times [F, 2]."""
        part = utterance.start, utterance.end
        count = media.count_frames(utterance.path, self.rate, *part)
        chosen = np.linspace(0, count - 1, 2 * min(self.frames, count) + 1)[1::2].round()
        numbers = chosen.astype(int)
        pictures = media.read_frames(utterance.path, self.rate, _SIDE, *part, numbers)
        return pictures, np.stack([chosen, chosen + 1], axis=1) / self.rate


def pooled(states: np.ndarray) -> np.ndarray:
    """Returns the mean and the standard deviation of states [T, D], as [2 D] float32."""
    return np.concatenate([states.mean(0), states.std(0)]).astype(np.float32)


def _by_word(words: Sequence[str], states: np.ndarray, ends: np.ndarray) -> np.ndarray:
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    word_of_token = np.searchsorted(starts, ends - 1, side="right") - 1
    vectors = np.zeros((len(words), states.shape[1]), np.float32)
    for word in np.unique(word_of_token[ends > 0]):
        vectors[word] = states[(word_of_token == word) & (ends > 0)].mean(0)
    return vectors
