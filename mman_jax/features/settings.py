"""How every modality of clips is measured."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mman_jax.features import media
from mman_jax.features.speech import functionals as speech
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual import windows as visual
from mman_jax.features.visual.windows import VisualSettings

MODALITIES = ("speech", "visual", "text")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every modality is extracted; None: it is not.

    Attributes:
        speech: of speech.
        visual: of pictures.
        text: of transcripts.
        seed: of whatever is trained here.
    """

    speech: SpeechSettings | None = None
    visual: VisualSettings | None = None
    text: TextSettings | None = None
    seed: int = 0

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are extracted."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    def needs_fitting(self, pretrained: bool) -> bool:
        """Whether anything is learnt from training utterances.

        Args:
            pretrained: whether the network for pictures is given.
        """
        reduced = self.speech is not None and self.speech.components > 0
        return reduced or self.text is not None or (self.visual is not None and not pretrained)

    def needs_labels(self, pretrained: bool) -> bool:
        """Whether a network is trained on the training utterances' labels.

        Args:
            pretrained: whether the network for pictures is given.
        """
        words = self.text is not None and self.text.kind == "cnn"
        return words or (self.visual is not None and not pretrained)

    def to_json(self) -> dict[str, Any]:
        """A form that JSON holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> "Settings":
        """The settings that `to_json` gave."""
        kinds = {"speech": SpeechSettings, "visual": VisualSettings, "text": TextSettings}
        made = {name: kinds[name](**card[name]) for name in kinds if card[name] is not None}
        return cls(**made, seed=card["seed"])

    def check_libraries(self) -> None:
        """Raises InputError where a library is missing, before any clip is read."""
        if self.speech or self.visual:
            media.pyav()
        if self.speech:
            speech.opensmile_extractor(self.speech.feature_set)
        if self.visual and self.visual.crop == "upper_body":
            visual.opencv()
