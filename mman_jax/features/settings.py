"""Settings of feature extraction: the extractor of each modality."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mman_jax.errors import InputError, nearest
from mman_jax.features import media
from mman_jax.features.encoders.states import Encoder, SpeechEncoder, TextEncoder, VisualEncoder
from mman_jax.features.extractor import Arrays, Extractor, SpeechExtractor, TextExtractor
from mman_jax.features.speech.functionals import FEATURE_SETS, OpenSmile
from mman_jax.features.speech.prosody import Prosody
from mman_jax.features.text import transcripts
from mman_jax.features.visual.windows import ResNetWindows

MODALITIES = ("speech", "visual", "text")

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "speech": SpeechEncoder,
    "visual": VisualEncoder,
    "text": TextEncoder,
}
"""Extractors with a pretrained encoder, by modality."""

SPEECH_SETS = ("prosody", *FEATURE_SETS)
"""Names of sets of speech features."""


def speech_set(feature_set: str) -> SpeechExtractor:
    """Returns the extractor of a set of speech features.

    Raises:
        InputError: the set is unknown.
    """
    if feature_set not in SPEECH_SETS:
        raise InputError("speech feature set", repr(feature_set), nearest(feature_set, SPEECH_SETS))
    return Prosody() if feature_set == Prosody.feature_set else OpenSmile(feature_set)


_OTHERS: dict[str, Callable[..., Extractor]] = {
    "speech": speech_set,
    "visual": ResNetWindows,
    "text": transcripts.of_kind,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The extractor of every modality; None if it is not extracted.

    `seed` is the random seed of the networks that are trained.
    """

    speech: SpeechExtractor | None = None
    visual: Extractor | None = None
    text: TextExtractor | None = None
    seed: int = 0

    @property
    def extractors(self) -> dict[str, Extractor]:
        """Returns the extractors, by modality."""
        every = {"speech": self.speech, "visual": self.visual, "text": self.text}
        return {name: extractor for name, extractor in every.items() if extractor is not None}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Returns the extracted modalities."""
        return tuple(self.extractors)

    def needs_fitting(self, pretrained: bool) -> bool:
        """Returns whether any extractor is fitted; see `Extractor.needs_fitting`."""
        return any(extractor.needs_fitting(pretrained) for extractor in self.extractors.values())

    def needs_labels(self, pretrained: bool) -> bool:
        """Returns whether a network is trained on labels; see `Extractor.needs_fitting`."""
        return any(extractor.needs_labels(pretrained) for extractor in self.extractors.values())

    def check(self, weights: Arrays | None = None, place: object = None) -> None:
        """Checks all extractors before clips are read; see `Extractor.check`."""
        if self.speech or self.visual:
            media.pyav()
        for extractor in self.extractors.values():
            extractor.check(weights, place)

    def to_json(self) -> dict[str, Any]:
        """Converts the settings to JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> "Settings":
        """Restores settings from the result of `to_json`.

        Errors in it raise a LookupError, a TypeError or an InputError.
        """

        def make(modality: str) -> Any:
            if card[modality] is None:
                return None
            # Ignore a field of earlier versions; `fitted` shows whether speech features are
            # reduced.
            settings = {k: v for k, v in card[modality].items() if k != "components"}
            makers = ENCODERS if "digest" in settings else _OTHERS
            return makers[modality](**settings)

        speech, visual, text = (make(modality) for modality in MODALITIES)
        return cls(speech, visual, text, card["seed"])
