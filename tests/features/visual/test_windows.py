import dataclasses
import sys

import jax
import numpy as np
import pytest
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.features.manifest import Utterance
from mman_jax.features.visual import windows as visual
from mman_jax.features.visual.resnet3d import ResNet3D
from mman_jax.features.visual.windows import ResNetWindows
from tests.features import clips

SMALL = ResNetWindows(rate=20.0, frames=4, windows=3, size=16, width=2)


def numbered(count, height=16, width=24):
    """Frames whose every pixel is their number."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)
    )


def windows(frames, settings=SMALL):
    return visual.cut(frames, settings.chosen(len(frames)), settings.size)


def read(path, settings=SMALL, start=None, end=None):
    return settings.measure(Utterance("c", "u", str(path), start, end))


def starts(count):
    return windows(numbered(count))[:, 0, 0, 0, 0].tolist()


def test_windows_are_consecutive_and_spread():
    found = windows(numbered(40))
    assert found.shape == (3, 4, 16, 16, 3)
    assert found.dtype == np.uint8
    assert starts(40) == [9, 18, 27]
    np.testing.assert_array_equal(found[1, :, 3, 3, 0], [18, 19, 20, 21])


def test_a_short_clip_has_fewer_windows_and_repeats_its_last_frame():
    assert len(starts(9)) == 2
    found = windows(numbered(3))
    np.testing.assert_array_equal(found[:, :, 0, 0, 0], [[0, 1, 2, 2]])
    assert windows(numbered(1)).shape == (1, 4, 16, 16, 3)


def test_the_middle_square_is_seen():
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    frames[:, :, 20:44] = 200  # the middle square is columns 18 to 46
    seen = windows(frames)
    assert seen[0, 0, 8, 8, 0] == 200
    assert seen[..., 0, 0].max() < 200
    assert (seen > 100).mean() > 0.8


def test_from_a_clip(tmp_path):
    path = clips.write(tmp_path / "a.mkv", seconds=1.0)
    seen = read(path)
    assert seen.shape == (3, 4, 16, 16, 3)
    part = read(path, SMALL, 0.5, 0.7)
    assert part.shape == (1, 4, 16, 16, 3)
    assert np.abs(seen[0].astype(int) - seen[2]).max() > 50  # the square has moved


def test_a_box_of_shares():
    frames = numbered(2, 20, 40).copy()
    frames[:, 10:, 30:] = 99
    inside = visual.crop(frames, (0.75, 0.5, 1.0, 1.0))
    assert inside.shape == (2, 10, 10, 3)
    assert (inside == 99).all()
    assert visual.crop(frames, (0.0, 0.0, 0.001, 0.001)).shape == (2, 1, 1, 3)


def test_upper_body_by_the_largest_face(monkeypatch):
    near, far = (80, 40, 40), (10, 10, 12)
    monkeypatch.setattr(visual, "faces", lambda frame: [far, near])
    box = visual.upper_body(np.zeros((9, 200, 200, 3), np.uint8))
    np.testing.assert_allclose(box, (0.2, 0.1, 0.8, 0.7))
    monkeypatch.setattr(visual, "faces", lambda frame: [(0, 0, 100)])
    np.testing.assert_allclose(visual.upper_body(np.zeros((1, 200, 200, 3))), (0, 0, 1, 1))


def test_without_a_face_the_whole_picture():
    pytest.importorskip("cv2", reason="faces need OpenCV: pip install 'mman_jax[visual]'")
    assert visual.upper_body(np.zeros((3, 100, 100, 3), np.uint8)) == (0.0, 0.0, 1.0, 1.0)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"faces: OpenCV, which .*; expected pip .*visual"):
        visual.upper_body(np.zeros((1, 40, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("crop", "bright"), [("0,0,0.5,1", True), ("0.5,0,1,1", False), ("upper_body", True)]
)
def test_a_crop_of_a_clip(tmp_path, crop, bright, monkeypatch):
    monkeypatch.setattr(visual, "upper_body", lambda frames: (0.0, 0.0, 0.5, 1.0))
    path = clips.write(tmp_path / "a.mkv", seconds=0.3, speed=0, sound=False)
    settings = dataclasses.replace(SMALL, crop=crop)
    seen = read(path, settings)
    assert seen.shape == (1, 4, 16, 16, 3)
    assert (seen.max() > 200) == bright  # the square stands at the left


def test_what_windows_depend_on():
    other = dataclasses.replace(SMALL, width=5, epochs=1)
    assert other.measured_by == SMALL.measured_by
    for change in (dict(rate=2.0), dict(frames=5), dict(size=20), dict(crop="upper_body")):
        assert dataclasses.replace(SMALL, **change).measured_by != SMALL.measured_by


def test_times_of_windows(tmp_path):
    path = clips.write(tmp_path / "a.mkv", seconds=1.0)
    times = SMALL.measure_cells(
        Utterance("c", "u", str(path))
    )  # 3 windows of 4 frames, of 20 frames a second
    assert times.shape == (3, 2)
    np.testing.assert_allclose(times[:, 1] - times[:, 0], SMALL.frames / SMALL.rate)
    assert (times[1:, 0] >= times[:-1, 1]).all()
    assert times[-1, 1] <= 1.0
    part = SMALL.measure_cells(Utterance("c", "u", str(path), 0.5, 0.6))
    np.testing.assert_allclose(part, [[0.0, 2 / SMALL.rate]])  # as many as there are


def test_windows_are_described_one_by_one():
    seen = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3)).astype(np.uint8)
    variables = ResNet3D(width=2, classes=2).init(jax.random.key(0), seen, train=False)
    fitted = traverse_util.flatten_dict(variables, sep="/")
    described = SMALL.describe(fitted, seen)
    assert described.shape == (3, 16)
    alone = [SMALL.describe(fitted, clip[None])[0] for clip in seen]
    np.testing.assert_array_equal(described, alone)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(crop="upperbody"), "'upper_body'"),
        (dict(crop="0,0,1"), "left,top,right,bottom"),
        (dict(crop="0.5,0,0.5,1"), "left < right"),
        (dict(crop="0,0,2,1"), "from 0 to 1"),
        (dict(rate=0.0), "rate"),
        (dict(rate=float("nan")), "rate"),
        (dict(frames=0), "frames"),
        (dict(windows=0), "windows"),
        (dict(size=8), "size: 8; expected 16 or more"),
    ],
)
def test_settings_refused(changes, said):
    with pytest.raises(InputError, match=said):
        ResNetWindows(**changes)
