"""Visual features of a 3D ResNet-18 on windows of consecutive frames, averaged over time."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError, nearest, require
from mman_jax.features import classifier, media
from mman_jax.features.extractor import Arrays, Extractor, TrainingData
from mman_jax.features.manifest import Utterance
from mman_jax.features.visual.resnet3d import WIDTH, ResNet3D

CROPS = ("none", "upper_body")

_FACE_SIDE = 360  # pixels of the shorter side of pictures for face detection
_FACE_FRAMES = 5
_CLASSES = "params/classes/"  # prefix of weights that only networks trained here have


@dataclasses.dataclass(frozen=True)
class ResNetWindows(Extractor):
    """A 3D ResNet on windows of frames, pre-trained or trained on labels; windows are the cells.

    `crop` is `none`, `upper_body` (located by the face), or `left,top,right,bottom` as shares of
    the picture, such as `0,0,0.5,1`.
    """

    rate: float = 15.0  # frames per second
    frames: int = 16  # T, consecutive frames of a window
    windows: int = 2  # largest number W of windows, spread evenly over the utterance
    size: int = 112  # pixels of a window's side
    crop: str = "none"
    width: int = WIDTH  # of the network, see `ResNet3D`
    epochs: int = 20  # of the network's training, without pre-trained weights

    def __post_init__(self):
        least = {"frames": 1, "windows": 1, "size": 16, "width": 1, "epochs": 1}
        for field, minimum in least.items():
            if getattr(self, field) < minimum:
                found = str(getattr(self, field))
                raise InputError(f"visual {field}", found, f"{minimum} or more")
        if not 0 < self.rate <= 1000:
            raise InputError("visual rate", str(self.rate), "frames per second, above 0")
        if self.crop not in CROPS:
            _box(self.crop)

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns the settings on which the windows of an utterance depend."""
        fields = ("rate", "frames", "windows", "size", "crop")
        return {field: getattr(self, field) for field in fields}

    def cached_by(self, utterance: Utterance, weights: str) -> dict[str, Any]:
        """Returns the settings and the weights on which a measurement depends."""
        return self.measured_by | {"weights": weights}

    def measure(self, utterance: Utterance, weights: Arrays | None = None) -> np.ndarray:
        """Measures an utterance's windows.

        Returns:
            Features [W, D] float32 of the windows. Without pre-trained weights, the windows
            themselves, [W, T, size, size, 3] uint8.
        """
        clips = self._read(utterance)
        return clips if weights is None else self._describe(weights, clips)

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures start and end of each window, [W, 2] float64, in seconds."""
        part = utterance.start, utterance.end
        chosen = self.chosen(media.count_frames(utterance.path, self.rate, *part))
        return np.stack([chosen[:, 0], chosen[:, -1] + 1], axis=1) / self.rate

    def needs_labels(self, pretrained: bool) -> bool:
        """Returns whether the network is trained."""
        return not pretrained

    def fit(self, measured: Sequence[np.ndarray], data: TrainingData) -> Arrays:
        """Returns pre-trained weights or trains the network."""
        if data.weights:
            return data.weights
        labelled, classes = classifier.classes(data.labels)
        network = ResNet3D(self.width, int(classes.max()) + 1)

        def inputs(chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
            # A random window of each utterance.
            clips = [measured[labelled[i]] for i in chosen]
            return np.stack([clip[random.integers(len(clip))] for clip in clips])

        recipe = classifier.Recipe(self.epochs, 8, 1e-3, data.seed)
        variables = classifier.fit(network, inputs, classes, recipe, data.progress)
        return traverse_util.flatten_dict(variables, sep="/")

    def apply(self, fitted: Arrays, measured: Sequence[np.ndarray]) -> np.ndarray:
        """Returns features [N, D] float32 of N utterances, the means over their windows."""
        return np.stack([self.describe(fitted, clips).mean(0) for clips in measured])

    def cells(
        self, fitted: Arrays, measured: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns features and times of one utterance's windows."""
        return self.describe(fitted, measured), cells

    def describe(self, fitted: Arrays, measured: np.ndarray) -> np.ndarray:
        """Returns features [W, D] float32 of one utterance's windows, from those of `measure`."""
        return measured if is_pretrained(fitted) else self._describe(fitted, measured)

    def _describe(self, weights: Arrays, clips: np.ndarray) -> np.ndarray:
        used = {k: x for k, x in weights.items() if not k.startswith(_CLASSES)}
        variables, network = traverse_util.unflatten_dict(used, sep="/"), ResNet3D(self.width)
        return np.stack([_features(network, variables, clip[None])[0] for clip in clips])

    def _read(self, utterance: Utterance) -> np.ndarray:
        # Torchvision's r3d_18 reads the central 112 of 128 rows.
        side = round(self.size * 8 / 7)
        if self.crop != "none":
            side = max(_FACE_SIDE, side)
        part = utterance.path, self.rate, utterance.start, utterance.end
        count = media.count_frames(*part)
        searched = _searched(count) if self.crop == "upper_body" else np.zeros(0, int)
        numbers = np.union1d(self.chosen(count), searched)
        frames = media.read_frames(utterance.path, self.rate, side, *part[2:], numbers)
        if len(searched):
            frames = crop(frames, upper_body(frames[np.searchsorted(numbers, searched)]))
        elif self.crop != "none":
            frames = crop(frames, _box(self.crop))
        return cut(frames, np.searchsorted(numbers, self.chosen(count)), self.size)

    def chosen(self, count: int) -> np.ndarray:
        """Returns the indices of the windows' frames among `count` frames, [W, T] int64.

        A clip shorter than a window repeats its last frame.
        """
        most = max(1, min(self.windows, count // self.frames))
        starts = np.linspace(0, max(count - self.frames, 0), most + 2)[1:-1].round().astype(int)
        return np.minimum(starts[:, None] + np.arange(self.frames), count - 1)

    def check(self, weights: Arrays | None, place: object) -> None:
        """Checks the width of the weights, and that OpenCV is installed if it is needed."""
        if self.crop == "upper_body":
            opencv()
        if weights is not None:
            width = weights["params/stem_conv/kernel"].shape[-1]
            if width != self.width:
                raise InputError(place, f"a network of width {width}", str(self.width))

    def licence(self, fitted: Arrays) -> str:
        """Returns a reference to the licence of pre-trained weights."""
        if not is_pretrained(fitted):
            return ""
        return "Visual features come from pre-trained weights, which have their own licence."


def is_pretrained(fitted: Arrays) -> bool:
    """Returns whether a fitted `ResNetWindows` has weights that were not trained here."""
    return bool(fitted) and f"{_CLASSES}bias" not in fitted


def cut(frames: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Cuts the central squares of frames [F, H, W, 3] uint8 to windows [W, T, size, size, 3].

    `chosen` [W, T] are the indices of each window's frames.
    """
    height, width = frames.shape[1:3]
    inner = max(1, min(height, width) * 7 // 8)
    top, left = (height - inner) // 2, (width - inner) // 2
    used = np.unique(chosen)
    squares = frames[used, top : top + inner, left : left + inner]
    small = media.resize(squares, size, size)
    return small[np.searchsorted(used, chosen)]


def crop(frames: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Cuts frames [F, H, W, 3] to a box of shares (left, top, right, bottom)."""
    height, width = frames.shape[1:3]
    left, right = (round(share * width) for share in (box[0], box[2]))
    top, bottom = (round(share * height) for share in (box[1], box[3]))
    return frames[:, top : max(bottom, top + 1), left : max(right, left + 1)]


def upper_body(frames: np.ndarray) -> tuple[float, float, float, float]:
    """Locates head, shoulders and chest by the largest face; without a face, the full picture.

    All frames [F, H, W, 3] uint8 share one box, so that cropping adds no motion. The result is
    left, top, right and bottom as shares of the picture.
    """
    count, height, width = frames.shape[:3]
    detected = [face for i in _searched(count) for face in faces(frames[i])]
    if not detected:
        return 0.0, 0.0, 1.0, 1.0
    largest = max(side for _, _, side in detected)
    near = np.array([face for face in detected if face[2] > 0.7 * largest])
    left, top, side = np.median(near, axis=0)
    centre = left + side / 2
    right = min((centre + 1.5 * side) / width, 1.0)
    bottom = min((top + 2.5 * side) / height, 1.0)
    left = max((centre - 1.5 * side) / width, 0.0)
    top = max((top - 0.5 * side) / height, 0.0)
    return float(left), float(top), float(right), float(bottom)


def _searched(count: int) -> np.ndarray:
    """Returns the indices of the frames, among `count`, in which to detect faces."""
    return np.linspace(0, count - 1, min(count, _FACE_FRAMES)).round().astype(int)


@functools.partial(jax.jit, static_argnums=0)
def _features(network: ResNet3D, variables: dict, clips: np.ndarray) -> jax.Array:
    return network.apply(variables, clips, train=False)[0]


def opencv() -> Any:
    """Imports OpenCV, which detects faces, or raises an InputError."""
    return require("cv2", "visual", "faces", "OpenCV, which finds them,")


def faces(frame: np.ndarray) -> list[tuple[int, int, int]]:
    """Detects faces in a picture [H, W, 3] uint8; returns left, top and side of each in pixels."""
    cv2 = opencv()
    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    boxes = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30))
    return [(int(x), int(y), int(side)) for x, y, side, _ in boxes]


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
