"""Pictures as players show them: square pixels, turned and mirrored as the container says."""

from typing import Any

import numpy as np

_MATRIX = "DISPLAYMATRIX"


def size(frame: Any, aspect: Any, side: int) -> tuple[int, int]:
    """Returns height and width of a frame whose shorter side becomes `side` square pixels.

    Args:
        frame: a frame of PyAV.
        aspect: width of a pixel over its height; None or 0: 1.
        side: pixels of the shorter side.
    """
    width = frame.width * float(aspect or 1)
    scale = side / min(width, frame.height)
    return max(side, round(scale * frame.height)), max(side, round(scale * width))


def oriented(picture: np.ndarray, frame: Any) -> np.ndarray:
    """Turns and mirrors a picture [height, width, 3] by the display matrix of its frame.

    The matrix takes a pixel of column x and row y to column a x + c y and row b x + d y; only
    quarter turns and mirror images are followed.
    """
    matrix = next((data for data in frame.side_data.values() if data.type.name == _MATRIX), None)
    if matrix is None:
        return picture
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
