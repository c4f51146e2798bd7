"""Speech: the functionals of openSMILE over one utterance.

openSMILE is free for private use, research and teaching, not for commercial products: see the
licence of the `opensmile` package.

Some functionals react to how the sound was stored, though the samples agree (no lag, correlation
0.999). Of eight synthetic utterances as Opus instead of WAV, 0.8 % of ComParE's functionals moved
by more than 20 standard deviations on average, most of all the spectral kurtosis and skewness, by
up to thousands; 0.02 % did with AAC, 0.06 % with MP3, none with FLAC. Likely it is what Opus leaves
where the original is silent: rounding to 16 bits changed nothing, noise of one such step brought
0.8 % to 0.2 %, but would change the features of every clip, so it is not added. Train on, and
answer, clips of one format.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.features import media

FEATURE_SETS = {"compare": "IS13", "egemaps": "eGeMAPSv02"}
"""Names here to openSMILE's: Interspeech 2013's ComParE (6373 functionals), eGeMAPS (88)."""

_SHORTEST = 960  # samples: one window of the longest kind


@dataclasses.dataclass(frozen=True)
class SpeechSettings:
    """How speech becomes features.

    Attributes:
        feature_set: of `FEATURE_SETS`.
        components: after the principal-component reduction; 0: all functionals, as they are.
    """

    feature_set: str = "compare"
    components: int = 100

    def __post_init__(self):
        if self.feature_set not in FEATURE_SETS:
            expected = nearest(self.feature_set, FEATURE_SETS)
            raise InputError("speech feature set", repr(self.feature_set), expected)
        if self.components < 0:
            raise InputError("speech components", str(self.components), "0 or more")

    @property
    def measured_by(self) -> dict[str, Any]:
        """What the measurement of one utterance depends on."""
        return {"feature_set": self.feature_set}


def functionals(samples: np.ndarray, feature_set: str = "compare") -> np.ndarray:
    """The functionals of one utterance, [D] float32.

    Args:
        samples: [samples] float32 at `media.SAMPLE_RATE`.
        feature_set: of `FEATURE_SETS`.

    Raises:
        InputError: the `opensmile` package is missing, or the sound is too short.
    """
    return run(opensmile_extractor(feature_set), samples, "functionals").reshape(-1)


def run(extractor: Any, samples: np.ndarray, what: str) -> np.ndarray:
    """What openSMILE makes of sound, [D, T] float32; T is 1 for functionals.

    Args:
        extractor: of `opensmile_extractor`.
        samples: [samples] float32 at `media.SAMPLE_RATE`.
        what: for messages.

    Raises:
        InputError: the sound is too short, or not all that comes out is finite.
    """
    if len(samples) < _SHORTEST:
        seconds = len(samples) / media.SAMPLE_RATE
        shortest = _SHORTEST / media.SAMPLE_RATE
        raise InputError("speech", f"{seconds:.3f} s of sound", f"at least {shortest} s")
    # OpenSMILE counts in 16 bits, and what is louder than they hold would come out as its opposite.
    heard = np.clip(samples, -1, 1 - 2**-15)
    found = np.asarray(extractor(heard[None], media.SAMPLE_RATE), np.float32)
    if not np.isfinite(found).all():
        raise InputError("speech", f"{what} that are not finite", "finite ones")
    return found[0]


@functools.cache
def opensmile_extractor(feature_set: str = "compare", level: str = "Functionals") -> Any:
    """OpenSMILE, ready to be called: of a feature set and a level, by openSMILE's name of it.

    Raises:
        InputError: it is not installed.
    """
    try:
        import opensmile
    except ImportError as error:
        expected = "pip install 'mman_jax[speech]'"
        raise InputError("speech", "the package opensmile is missing", expected) from error
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[FEATURE_SETS[feature_set]],
        feature_level=opensmile.FeatureLevel[level],
    )
