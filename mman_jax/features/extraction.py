"""Extraction: what was fitted on training utterances, and features by it and the settings.

An utterance is measured on its own (functionals, windows of frames or their network features, a
transcript); what `mman_jax.features.fitting` fitted turns the measurement into features.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.encoders import pictures, states
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech import functionals as speech
from mman_jax.features.speech import reduction
from mman_jax.features.text import cnn, tfidf
from mman_jax.features.visual import resnet3d
from mman_jax.features.visual import windows as visual
from mman_jax.features.visual.resnet3d import ResNet3D
from mman_jax.files import arrays, carded
from mman_jax.files.regular import check_regular

_WEIGHTS = ("params/", "batch_stats/")
_EXTRACTED, _CONVERTED = "what mman extract wrote", "what mman convert wrote"
_CARD = "settings"
_STEM = "params/stem_conv/kernel"

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Extraction:
    """All that new clips need to get the same features.

    Attributes:
        settings: how each modality is measured.
        fitted: arrays by modality: a reduction, a vocabulary, a network's variables.
    """

    settings: Settings
    fitted: Mapping[str, Arrays]

    @property
    def pretrained(self) -> Arrays | None:
        """The network's weights for pictures, where they were given and not trained here.

        By `ResNet3D`'s paths, such as `params/stem_conv/kernel` [3, 7, 7, 3, width] float32.
        """
        own = self.fitted.get("visual")
        return None if not own or "params/classes/bias" in own else own

    def features(self, utterance: Utterance) -> dict[str, np.ndarray]:
        """The features [D] float32 of one utterance, by modality.

        Raises:
            InputError: a clip or a transcript that cannot be used.
        """
        measured = {m: self.measure(m, utterance) for m in self.settings.modalities}
        return {m: self.apply(m, [value])[0] for m, value in measured.items()}

    def measure(self, modality: str, utterance: Utterance) -> np.ndarray:
        """As the function `measure`, with this extraction's settings and weights.

        Raises:
            InputError: a clip or a transcript that cannot be used.
        """
        return measure(modality, utterance, self.settings, self.pretrained)

    def apply(self, modality: str, measured: Sequence[np.ndarray]) -> np.ndarray:
        """Features [N, D] float32 of measurements, each by itself.

        Args:
            modality: whose.
            measured: N of what `measure` gives.
        """
        fitted = self.fitted[modality]
        if modality in self.settings.encoders:
            return np.stack(measured)
        if modality == "speech":
            whole = np.stack(measured)
            return reduction.Reduction(**fitted).apply(whole) if fitted else whole
        if modality == "visual":
            return np.stack([own.mean(0) for own in self.windows(measured)])
        transcripts = [str(transcript) for transcript in measured]
        if self.settings.text.kind == "tfidf":
            return tfidf.TfIdf(**fitted).apply(transcripts)
        own = dict(fitted)
        embedding = cnn.Embedding(
            own.pop("vocabulary"), own.pop("vectors"), self.settings.text.words
        )
        classes = own["params/classes/bias"].shape[0]
        network = cnn.TextCNN(self.settings.text.features, classes)
        return cnn.describe(network, _variables(own), embedding, transcripts)

    def windows(self, measured: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features [W, D] float32 of the windows of each utterance.

        Args:
            measured: of pictures, N of what `measure` gives.
        """
        if self.pretrained is not None:
            return list(measured)
        network = ResNet3D(self.settings.visual.width)
        variables = _variables(self.fitted["visual"])
        variables["params"].pop("classes", None)
        return [visual.describe(network, variables, clip) for clip in measured]

    def save(self, path: Path) -> None:
        """Writes one .npz file, whole or not at all.

        Raises:
            InputError: a place that cannot be written.
        """
        flat = {
            f"{modality}/{name}": array
            for modality, own in self.fitted.items()
            for name, array in own.items()
        }
        carded.write(path, flat, self.settings.to_json(), _CARD, make_folder=False)

    @classmethod
    def load(cls, path: str | Path) -> "Extraction":
        """Reads what `save` wrote.

        Raises:
            InputError: another file, or a damaged one.
        """
        found, card = carded.read(path, _EXTRACTED, _CARD)
        try:
            settings = Settings.from_json(card)
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise InputError(path, f"no settings ({error!r:.200})", _EXTRACTED) from error
        fitted: dict[str, dict[str, np.ndarray]] = {name: {} for name in settings.modalities}
        for key, array in found.items():
            modality, _, name = key.partition("/")
            fitted.setdefault(modality, {})[name] = array
        return cls(settings, fitted)


def measure(
    modality: str, utterance: Utterance, settings: Settings, pretrained: Arrays | None = None
) -> np.ndarray:
    """What one utterance is, before anything fitted: a pure function of it.

    Args:
        modality: of `MODALITIES`.
        utterance: where its clip and its words are.
        settings: how.
        pretrained: the network's weights for pictures (see `read_weights`), or None: to be
            trained, so that its measurement is the windows themselves.

    Returns:
        By a pretrained encoder: the mean and deviation of its states, [2 D] float32. Else speech:
        functionals [D] float32. visual: features [W, D] float32 of windows, or the windows
        [W, T, size, size, 3] uint8. text: a str of no axes.

    Raises:
        InputError: a clip or a transcript that cannot be used.
    """
    if modality == "text":
        if not utterance.transcript:
            raise InputError(utterance.name, "no transcript", "its words")
        return of_words(settings, utterance.transcript)
    if modality == "speech":
        samples = media.read_audio(utterance.path, utterance.start, utterance.end)
        try:
            return of_sound(settings, samples)
        except InputError as error:
            raise InputError(utterance.path, str(error)) from error
    if isinstance(settings.visual, EncoderSettings):
        seen, _ = pictures.read(utterance.path, settings.visual, utterance.start, utterance.end)
        return states.pooled(states.of_pictures(settings.visual, seen))
    seen = visual.read_windows(utterance.path, settings.visual, utterance.start, utterance.end)
    if pretrained is None:
        return seen
    return visual.describe(ResNet3D(settings.visual.width), _variables(pretrained), seen)


def of_sound(settings: Settings, samples: np.ndarray) -> np.ndarray:
    """As `measure`, of the sound of one utterance: [samples] float32 at `media.SAMPLE_RATE`.

    Raises:
        InputError: sound that cannot be used.
    """
    if isinstance(settings.speech, EncoderSettings):
        return states.pooled(states.of_speech(settings.speech, [samples])[0])
    return speech.functionals(samples, settings.speech.feature_set)


def of_words(settings: Settings, said: str) -> np.ndarray:
    """As `measure`, of a transcript."""
    if isinstance(settings.text, EncoderSettings):
        return states.pooled(states.of_text(settings.text, [said])[0])
    return np.array(said)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Float32 weights that `mman convert` wrote, by `ResNet3D`'s paths.

    A file of `Extraction.save` holds them, too, where they were given and not trained here.

    Raises:
        InputError: another file, a damaged one, or weights of another network.
    """
    check_regular(path, _CONVERTED)
    inside = {k.removeprefix("visual/"): x for k, x in arrays.read(path, _CONVERTED).items()}
    weights = {name: array for name, array in inside.items() if name.startswith(_WEIGHTS)}
    if _STEM not in weights:
        found = f"no weights of a 3D ResNet among {', '.join(list(inside)[:5])}"
        raise InputError(path, found, _CONVERTED)
    resnet3d.check(weights, path)
    return weights


def _variables(flat: Arrays) -> dict[str, Any]:
    return traverse_util.unflatten_dict(dict(flat), sep="/")
