import dataclasses

import numpy as np
import pytest

from mman_jax.features.manifest import Utterance
from mman_jax.features.visual import windows as visual
from mman_jax.features.visual.windows import ResNetWindows
from tests.features import clips

SMALL = ResNetWindows(rate=20.0, frames=4, windows=3, size=16, width=2)


def numbered(count, height=16, width=24):
    """Frames whose pixels have their number as value."""
    numbers = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(numbers, (count, height, width, 3))


def windows(frames):
    return visual.cut(frames, SMALL.chosen(len(frames)), SMALL.size)


def read(path, settings=SMALL, start=None, end=None):
    return settings.measure(Utterance("c", "u", str(path), start, end))


def test_windows_are_consecutive_and_spread():
    cut = windows(numbered(40))
    assert cut.shape == (3, 4, 16, 16, 3)
    assert cut.dtype == np.uint8
    assert cut[:, :, 3, 3, 0].tolist() == [[9, 10, 11, 12], [18, 19, 20, 21], [27, 28, 29, 30]]
    # Short clips have fewer windows and repeat their last frame.
    assert len(windows(numbered(9))) == 2
    np.testing.assert_array_equal(windows(numbered(3))[:, :, 0, 0, 0], [[0, 1, 2, 2]])
    assert windows(numbered(1)).shape == (1, 4, 16, 16, 3)


def test_windows_show_the_middle_square():
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    frames[:, :, 20:44] = 200  # the middle square is columns 16 to 48
    cut = windows(frames)
    assert cut[0, 0, 8, 8, 0] == 200
    assert cut[..., 0, 0].max() < 200
    assert (cut > 100).mean() > 0.7


def test_windows_of_a_clip_and_their_times(tmp_path):
    path = clips.write(tmp_path / "a.mkv", seconds=1.0)
    cut = read(path)
    assert cut.shape == (3, 4, 16, 16, 3)
    assert np.abs(cut[0].astype(int) - cut[2]).max() > 50  # the square has moved
    assert read(path, SMALL, 0.5, 0.7).shape == (1, 4, 16, 16, 3)
    times = SMALL.measure_cells(Utterance("c", "u", str(path)))
    assert times.shape == (3, 2)
    np.testing.assert_allclose(times[:, 1] - times[:, 0], SMALL.frames / SMALL.rate)
    assert (times[1:, 0] >= times[:-1, 1]).all()
    assert times[-1, 1] <= 1.0
    part = SMALL.measure_cells(Utterance("c", "u", str(path), 0.5, 0.6))
    np.testing.assert_allclose(part, [[0.0, 2 / SMALL.rate]])


def test_crop():
    frames = numbered(2, 20, 40).copy()
    frames[:, 10:, 30:] = 99
    inside = visual.crop(frames, (0.75, 0.5, 1.0, 1.0))
    assert inside.shape == (2, 10, 10, 3)
    assert (inside == 99).all()
    assert visual.crop(frames, (0.0, 0.0, 0.001, 0.001)).shape == (2, 1, 1, 3)


def test_upper_body_is_found_by_the_largest_face(monkeypatch):
    frames = np.zeros((9, 200, 200, 3), np.uint8)
    monkeypatch.setattr(visual, "faces", lambda frame: [(80, 40, 40), (10, 10, 12)])
    np.testing.assert_allclose(visual.upper_body(frames), (0.2, 0.1, 0.8, 0.7))
    monkeypatch.setattr(visual, "faces", lambda frame: [(0, 0, 100)])
    np.testing.assert_allclose(visual.upper_body(frames), (0, 0, 1, 1))


def test_without_a_face_the_whole_picture_is_used():
    pytest.importorskip("cv2", reason="faces need OpenCV: pip install 'mman_jax[visual]'")
    assert visual.upper_body(np.zeros((3, 100, 100, 3), np.uint8)) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("crop", "bright"), [("0,0,0.5,1", True), ("0.5,0,1,1", False), ("upper_body", True)]
)
def test_crop_of_a_clip(tmp_path, crop, bright, monkeypatch):
    monkeypatch.setattr(visual, "upper_body", lambda frames: (0.0, 0.0, 0.5, 1.0))
    path = clips.write(tmp_path / "a.mkv", seconds=0.3, speed=0, sound=False)
    cut = read(path, dataclasses.replace(SMALL, crop=crop))
    assert cut.shape == (1, 4, 16, 16, 3)
    assert (cut.max() > 200) == bright  # the square is at the left
