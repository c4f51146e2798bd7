"""Visual: windows of consecutive frames through a 3D ResNet-18, averaged over the utterance."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError, nearest
from mman_jax.features import media
from mman_jax.features.visual.resnet3d import WIDTH, ResNet3D

CROPS = ("none", "upper_body")

_FACE_SIDE = 360  # pixels of the shorter side in which faces are looked for
_FACE_FRAMES = 5


@dataclasses.dataclass(frozen=True)
class VisualSettings:
    """How pictures become features.

    Attributes:
        rate: frames a second.
        frames: T, consecutive frames of a window.
        windows: W at most, spread evenly over the utterance.
        size: pixels of a window's side.
        crop: `none`, `upper_body` (found by the face), or `left,top,right,bottom` as shares of
            the picture, such as `0,0,0.5,1`.
        width: of the network; see `ResNet3D`.
        epochs: of the network's training, where no weights are given.
    """

    rate: float = 15.0
    frames: int = 16
    windows: int = 2
    size: int = 112
    crop: str = "none"
    width: int = WIDTH
    epochs: int = 20

    def __post_init__(self):
        for field, least in (
            ("frames", 1),
            ("windows", 1),
            ("size", 16),
            ("width", 1),
            ("epochs", 1),
        ):
            if getattr(self, field) < least:
                found = str(getattr(self, field))
                raise InputError(f"visual {field}", found, f"{least} or more")
        if not 0 < self.rate <= 1000:
            raise InputError("visual rate", str(self.rate), "frames a second, above 0")
        if self.crop not in CROPS:
            _box(self.crop)

    @property
    def measured_by(self) -> dict[str, Any]:
        """What the windows of one utterance depend on."""
        fields = ("rate", "frames", "windows", "size", "crop")
        return {field: getattr(self, field) for field in fields}


def read_windows(
    path: str | Path, settings: VisualSettings, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """The windows of a clip, [W, T, size, size, 3] uint8.

    Raises:
        InputError: as `media.read_frames`.
    """
    # Torchvision's r3d_18 sees the middle 112 of 128 rows.
    side = round(settings.size * 8 / 7)
    if settings.crop != "none":
        side = max(_FACE_SIDE, side)
    faces = settings.crop == "upper_body"
    count = 0

    def wanted(all_frames: int) -> np.ndarray:
        nonlocal count
        count = all_frames
        looked_at = _looked_at(count) if faces else np.zeros(0, int)
        return np.union1d(_taken(count, settings), looked_at)

    frames = media.read_frames(path, settings.rate, side, start, end, wanted)
    kept = wanted(count)
    if faces:
        frames = crop(frames, upper_body(frames[np.searchsorted(kept, _looked_at(count))]))
    elif settings.crop != "none":
        frames = crop(frames, _box(settings.crop))
    return _windows(frames, np.searchsorted(kept, _taken(count, settings)), settings.size)


def window_times(
    path: str | Path, settings: VisualSettings, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """When the windows of `read_windows` start and end, [W, 2] float64, in seconds after `start`.

    Raises:
        InputError: as `media.read_frames`.
    """
    taken = _taken(media.count_frames(path, settings.rate, start, end), settings)
    return np.stack([taken[:, 0], taken[:, -1] + 1], axis=1) / settings.rate


def windows(frames: np.ndarray, settings: VisualSettings) -> np.ndarray:
    """Windows [W, T, size, size, 3] of frames [F, H, W, 3] uint8, W at most `settings.windows`.

    The middle square of each frame; a clip shorter than a window repeats its last frame.
    """
    return _windows(frames, _taken(len(frames), settings), settings.size)


def _taken(count: int, settings: VisualSettings) -> np.ndarray:
    """Which of so many frames are the windows', [W, T] int64."""
    most = max(1, min(settings.windows, count // settings.frames))
    starts = np.linspace(0, max(count - settings.frames, 0), most + 2)[1:-1].round().astype(int)
    return np.minimum(starts[:, None] + np.arange(settings.frames), count - 1)


def _windows(frames: np.ndarray, taken: np.ndarray, size: int) -> np.ndarray:
    height, width = frames.shape[1:3]
    inner = max(1, min(height, width) * 7 // 8)
    top, left = (height - inner) // 2, (width - inner) // 2
    used = np.unique(taken)
    squares = frames[used, top : top + inner, left : left + inner]
    small = media.resize(squares, size, size)
    return small[np.searchsorted(used, taken)]


def crop(frames: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of frames [F, H, W, 3] in a box of shares (left, top, right, bottom)."""
    height, width = frames.shape[1:3]
    left, right = (round(share * width) for share in (box[0], box[2]))
    top, bottom = (round(share * height) for share in (box[1], box[3]))
    return frames[:, top : max(bottom, top + 1), left : max(right, left + 1)]


def upper_body(frames: np.ndarray) -> tuple[float, float, float, float]:
    """Where head, shoulders and chest are, by the largest face; all of it where no face is found.

    One box for all frames, so that the crop itself adds no motion.

    Args:
        frames: [F, H, W, 3] uint8.

    Returns:
        left, top, right, bottom, as shares of the picture.
    """
    count, height, width = frames.shape[:3]
    found = [face for i in _looked_at(count) for face in faces(frames[i])]
    if not found:
        return 0.0, 0.0, 1.0, 1.0
    largest = max(side for _, _, side in found)
    near = np.array([face for face in found if face[2] > 0.7 * largest])
    left, top, side = np.median(near, axis=0)
    centre = left + side / 2
    box = (
        (centre - 1.5 * side) / width,
        (top - 0.5 * side) / height,
        (centre + 1.5 * side) / width,
        (top + 2.5 * side) / height,
    )
    return tuple(float(np.clip(share, 0, 1)) for share in box)


def _looked_at(count: int) -> np.ndarray:
    """The frames, of so many, in which faces are looked for."""
    return np.linspace(0, count - 1, min(count, _FACE_FRAMES)).round().astype(int)


def describe(network: ResNet3D, variables: dict, clips: np.ndarray) -> np.ndarray:
    """Features [W, D] float32 of one utterance's windows [W, T, size, size, 3]."""
    return np.stack([_describe(network, variables, clip[None])[0] for clip in clips])


@jax.jit(static_argnums=0)
def _describe(network, variables, clips):
    return network.apply(variables, clips, train=False)[0]


def opencv() -> Any:
    """OpenCV, which finds faces.

    Raises:
        InputError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        expected = "pip install 'mman_jax[visual]'"
        raise InputError("faces", "OpenCV, which finds them, is missing", expected) from error
    return cv2


def faces(frame: np.ndarray) -> list[tuple[int, int, int]]:
    """Left, top and side of each face in a picture [H, W, 3] uint8, in pixels."""
    cv2 = opencv()
    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    found = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30))
    return [(int(x), int(y), int(side)) for x, y, side, _ in found]


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(share) for share in text.split(","))
    except ValueError:
        expected = nearest(text, CROPS) + ", or left,top,right,bottom as shares"
        raise InputError("visual crop", repr(text), expected) from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        expected = "left < right and top < bottom, from 0 to 1"
        raise InputError("visual crop", repr(text), expected)
    return left, top, right, bottom
