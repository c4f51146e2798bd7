"""Speech features: openSMILE's functionals and descriptors.

openSMILE is free for private use, research and teaching, but not for commercial products; see the
licence of the `opensmile` package.

Some functionals depend on the audio format, even if the samples agree (correlation 0.999): for
eight synthetic utterances stored as Opus instead of WAV, 0.8 % of ComParE's functionals changed by
more than 20 standard deviations on average; with AAC 0.02 %, with MP3 0.06 %, with FLAC none. The
probable cause is residual noise of Opus in silence. Train and predict on clips of one format.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError, nearest, require
from mman_jax.features import media
from mman_jax.features.extractor import Arrays, SpeechExtractor
from mman_jax.features.manifest import Utterance

FEATURE_SETS = {"compare": "IS13", "egemaps": "eGeMAPSv02"}
"""openSMILE's names of feature sets: ComParE of Interspeech 2013 (6373 functionals), eGeMAPS (88).
"""

_SHORTEST = 960  # samples of the longest window
_HOP, _LENGTH = 0.01, 0.02  # seconds between openSMILE's frames, and of each frame


@dataclasses.dataclass(frozen=True)
class OpenSmile(SpeechExtractor):
    """Functionals of openSMILE over an utterance; its cells are low-level descriptors."""

    feature_set: str = "compare"  # a name in `FEATURE_SETS`

    def __post_init__(self):
        if self.feature_set not in FEATURE_SETS:
            expected = nearest(self.feature_set, FEATURE_SETS)
            raise InputError("speech feature set", repr(self.feature_set), expected)

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns the settings on which a measurement depends."""
        return {"feature_set": self.feature_set}

    @property
    def cells_measured_by(self) -> dict[str, Any]:
        """Returns no settings, since both feature sets use the descriptors of eGeMAPS."""
        return {}

    def of_sound(self, samples: np.ndarray) -> np.ndarray:
        """Measures functionals [D] float32 of the audio of one utterance."""
        return functionals(samples, self.feature_set)

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures descriptors [T, 25] float32 of an utterance."""
        return descriptors(utterance.read_audio())

    def apply(self, fitted: Arrays, measured: Sequence[np.ndarray]) -> np.ndarray:
        """Returns functionals [N, D] float32, reduced if an earlier version fitted a reduction."""
        values = np.stack(measured)
        if not fitted:
            return values
        arrays = [fitted[name] for name in ("mean", "scale", "components")]
        arrays.append(fitted["centre"] @ fitted["components"])
        mean, scale, components, offset = ({"speech": x} for x in arrays)
        return Scaling(mean, scale, components, offset).apply({"speech": values})["speech"]

    def cells(
        self, fitted: Arrays, measured: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns descriptors and times of one utterance's frames."""
        return cells, descriptor_times(len(cells))

    def check(self, weights: Arrays | None, place: object) -> None:
        """Checks that openSMILE is installed."""
        opensmile_extractor(self.feature_set)

    def licence(self, fitted: Arrays) -> str:
        """Returns the terms of openSMILE."""
        return (
            "Speech features are openSMILE's: free for private use, research and teaching; a "
            "commercial product that computes them needs a licence from audEERING."
        )


def functionals(samples: np.ndarray, feature_set: str = "compare") -> np.ndarray:
    """Computes the functionals of one utterance's samples, [D] float32."""
    return _run(opensmile_extractor(feature_set), samples, "functionals").reshape(-1)


def descriptors(samples: np.ndarray) -> np.ndarray:
    """Computes low-level descriptors [T, 25] float32 of samples, 100 frames per second.

    They are those of eGeMAPS (Eyben et al. 2016): loudness, spectrum, pitch, voice quality and
    formants. Pitch and formants are 0 in unvoiced frames.
    """
    extractor = opensmile_extractor("egemaps", "LowLevelDescriptors")
    return np.ascontiguousarray(_run(extractor, samples, "descriptors").T)


def descriptor_times(count: int) -> np.ndarray:
    """Returns start and end of `count` frames, [T, 2] float64, in seconds."""
    return _HOP * np.arange(count)[:, None] + [0.0, _LENGTH]


def _run(extractor: Any, samples: np.ndarray, what: str) -> np.ndarray:
    """Runs openSMILE on samples; returns [D, T] float32, where T is 1 for functionals."""
    if len(samples) < _SHORTEST:
        seconds = len(samples) / media.SAMPLE_RATE
        shortest = _SHORTEST / media.SAMPLE_RATE
        raise InputError("speech", f"{seconds:.3f} s of sound", f"at least {shortest} s")
    # OpenSMILE converts to 16 bits, where louder samples would wrap around.
    clipped = np.clip(samples, -1, 1 - 2**-15)
    values = np.asarray(extractor(clipped[None], media.SAMPLE_RATE), np.float32)
    if not np.isfinite(values).all():
        raise InputError("speech", f"{what} that are not finite", "finite ones")
    return values[0]


@functools.cache
def opensmile_extractor(feature_set: str = "compare", level: str = "Functionals") -> Any:
    """Returns a callable openSMILE extractor of a feature set and one of openSMILE's levels."""
    opensmile = require("opensmile", "speech", "speech", "the package opensmile")
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[FEATURE_SETS[feature_set]],
        feature_level=opensmile.FeatureLevel[level],
    )
