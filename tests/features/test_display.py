import types

import numpy as np
import pytest

from mman_jax.features import display

PICTURE = np.arange(6).reshape(2, 3)


class Matrix:
    """Side data of a frame, as PyAV has it."""

    type = types.SimpleNamespace(name="DISPLAYMATRIX")

    def __init__(self, a, b, c, d):
        self._values = np.array([[a, b, 0], [c, d, 0], [0, 0, 1 << 14]]) << 16

    def __bytes__(self):
        return self._values.astype(np.int32).tobytes()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), PICTURE),
        ((-1, 0, 0, 1), np.fliplr(PICTURE)),
        ((1, 0, 0, -1), np.flipud(PICTURE)),
        ((-1, 0, 0, -1), np.rot90(PICTURE, 2)),
        ((0, 1, 1, 0), PICTURE.T),
        ((0, 1, -1, 0), np.rot90(PICTURE, -1)),  # the first row becomes the last column
        ((0, -1, 1, 0), np.rot90(PICTURE, 1)),
    ],
)
def test_pictures_are_turned_and_mirrored(matrix, expected):
    frame = types.SimpleNamespace(side_data={"any": Matrix(*matrix)})
    np.testing.assert_array_equal(display.oriented(PICTURE, frame), expected)
    assert display.oriented(PICTURE, types.SimpleNamespace(side_data={})) is PICTURE


def test_pixels_become_square():
    frame = types.SimpleNamespace(width=96, height=64)
    assert display.size(frame, None, 32) == (32, 48)
    assert display.size(frame, 16 / 9, 32) == (32, 85)
    assert display.size(frame, 1 / 2, 32) == (43, 32)
