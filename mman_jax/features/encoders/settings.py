"""Which pretrained encoder describes a modality, and how."""

import dataclasses
from typing import Any

from mman_jax.errors import InputError
from mman_jax.features.encoders import folders


@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """How a pretrained encoder's states become features: their mean and deviation, [2 D].

    Attributes:
        name: see `folders.find`.
        digest: of the encoder's files, see `folders.digest`; another one is refused.
        layer: whose states: -1 the last layer's, 0 what the first layer is given.
        rate: of pictures, frames a second among which some are taken.
        frames: of pictures, how many of an utterance at most, spread evenly.
    """

    name: str
    digest: str
    layer: int = -1
    rate: float = 15.0
    frames: int = 16

    def __post_init__(self):
        if self.frames < 1:
            raise InputError("visual frames", str(self.frames), "1 or more")
        if not 0 < self.rate <= 1000:
            raise InputError("visual rate", str(self.rate), "frames a second, above 0")

    @property
    def measured_by(self) -> dict[str, Any]:
        """What the measurement of one utterance depends on, but for the place of the encoder."""
        fields = ("digest", "layer", "rate", "frames")
        return {field: getattr(self, field) for field in fields}

    @property
    def folder(self) -> str:
        """Where the encoder is on this machine.

        Raises:
            InputError: nowhere, or it is another one than features were made with.
        """
        return folders.checked(self.name, self.digest)
