"""The pictures of a clip that an encoder looks at."""

from pathlib import Path

import numpy as np

from mman_jax.features import media
from mman_jax.features.encoders.settings import EncoderSettings

_SIDE = 336  # pixels of the shorter side: what the largest of the common encoders take


def read(
    path: str | Path,
    settings: EncoderSettings,
    start: float | None = None,
    end: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures spread evenly over a clip, and when each is shown.

    Returns:
        [F, H, W, 3] uint8, F at most `settings.frames`; and [F, 2] float64, seconds after `start`.

    Raises:
        InputError: as `media.read_frames`.
    """
    chosen = np.zeros(0, int)

    def wanted(count: int) -> np.ndarray:
        nonlocal chosen
        several = min(settings.frames, count)
        chosen = np.linspace(0, count - 1, 2 * several + 1)[1::2].round().astype(int)
        return chosen

    pictures = media.read_frames(path, settings.rate, _SIDE, start, end, wanted)
    return pictures, np.stack([chosen, chosen + 1], axis=1) / settings.rate
