"""Speech inside an utterance: openSMILE's low-level descriptors, a hundred frames a second.

Those of eGeMAPS (Eyben et al. 2016), whatever set the functionals are of: loudness, spectrum,
pitch, voice quality and formants. Pitch and formants are 0 where nothing is voiced.
"""

import numpy as np

from mman_jax.features.speech import functionals

FEATURES = 25

_HOP, _LENGTH = 0.01, 0.02  # seconds, as openSMILE dates its frames
_SET, _LEVEL = "egemaps", "LowLevelDescriptors"


def descriptors(samples: np.ndarray) -> np.ndarray:
    """The frames of one utterance, [T, 25] float32.

    Args:
        samples: [samples] float32 at `media.SAMPLE_RATE`.

    Raises:
        InputError: the `opensmile` package is missing, or the sound is too short.
    """
    extractor = functionals.opensmile_extractor(_SET, _LEVEL)
    return np.ascontiguousarray(functionals.run(extractor, samples, "descriptors").T)


def times(count: int) -> np.ndarray:
    """Start and end of so many frames, [T, 2] float64, in seconds."""
    return _HOP * np.arange(count)[:, None] + [0.0, _LENGTH]
