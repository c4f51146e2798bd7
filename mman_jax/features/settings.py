"""How every modality of clips is measured."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mman_jax.features import media
from mman_jax.features.encoders import loading
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.speech import functionals as speech
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual import windows as visual
from mman_jax.features.visual.windows import VisualSettings

MODALITIES = ("speech", "visual", "text")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every modality is extracted, here or by a pretrained encoder; None: it is not.

    Attributes:
        speech: of speech.
        visual: of pictures.
        text: of transcripts.
        seed: of whatever is trained here.
    """

    speech: SpeechSettings | EncoderSettings | None = None
    visual: VisualSettings | EncoderSettings | None = None
    text: TextSettings | EncoderSettings | None = None
    seed: int = 0

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are extracted."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @property
    def encoders(self) -> dict[str, EncoderSettings]:
        """Those of modalities that a pretrained encoder describes."""
        every = {name: getattr(self, name) for name in self.modalities}
        return {name: own for name, own in every.items() if isinstance(own, EncoderSettings)}

    @property
    def without_encoders(self) -> "Settings":
        """Of the modalities that are described by what is here."""
        return dataclasses.replace(self, **dict.fromkeys(self.encoders))

    def needs_fitting(self, pretrained: bool) -> bool:
        """Whether anything is learnt from training utterances.

        Args:
            pretrained: whether the network for pictures is given.
        """
        own = self.without_encoders
        reduced = own.speech is not None and own.speech.components > 0
        return reduced or own.text is not None or (own.visual is not None and not pretrained)

    def needs_labels(self, pretrained: bool) -> bool:
        """Whether a network is trained on the training utterances' labels.

        Args:
            pretrained: whether the network for pictures is given.
        """
        own = self.without_encoders
        words = own.text is not None and own.text.kind == "cnn"
        return words or (own.visual is not None and not pretrained)

    def to_json(self) -> dict[str, Any]:
        """A form that JSON holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> "Settings":
        """The settings that `to_json` gave."""
        kinds = {"speech": SpeechSettings, "visual": VisualSettings, "text": TextSettings}
        made = {
            name: (EncoderSettings if "digest" in card[name] else kinds[name])(**card[name])
            for name in kinds
            if card[name] is not None
        }
        return cls(**made, seed=card["seed"])

    def check_libraries(self) -> None:
        """Raises InputError where a library or an encoder is missing, before any clip is read."""
        if self.speech or self.visual:
            media.pyav()
        own = self.without_encoders
        if own.speech:
            speech.opensmile_extractor(own.speech.feature_set)
        if own.visual and own.visual.crop == "upper_body":
            visual.opencv()
        for modality, encoder in self.encoders.items():
            loading.check(encoder, modality)
