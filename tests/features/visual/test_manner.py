"""How a face is in the picture, by hand."""

import numpy as np

from mman_jax.features.visual import manner, windows


def test_the_largest_face_is_followed(monkeypatch):
    faces = iter([[(0, 0, 10), (50, 0, 4)], [(5, 0, 10)], [], [(5, 10, 10)], [(40, 0, 10)]])
    monkeypatch.setattr(windows, "faces", lambda frame: next(faces))
    side, movement = manner.measure(np.zeros((5, 40, 60, 3), np.uint8))
    assert side == 0.25
    # Half a side, and a whole one, in four steps of a third of a second; the last is another face.
    np.testing.assert_allclose(movement, 1.5 * 3 / 4)


def test_a_face_that_is_rarely_seen_is_not_measured(monkeypatch):
    faces = iter([[(0, 0, 10)], [], []])
    monkeypatch.setattr(windows, "faces", lambda frame: next(faces))
    unseen = manner.measure(np.zeros((3, 40, 60, 3), np.uint8))
    assert np.isnan(unseen).all()
    values = np.stack([unseen, *np.tile([0.25, 0.5], (4, 1)), [0.25, 3.0]])
    assert manner.compare(values) == [["no face seen"], [], [], [], [], ["much livelier"]]
    faces = iter([[(0, 0, 10)], []])
    once = manner.measure(np.zeros((2, 40, 60, 3), np.uint8))
    np.testing.assert_array_equal(once, [0.25, np.nan])
    assert manner.compare(np.stack([once, *values[1:]]))[0] == []
    assert manner.compare(np.tile(unseen, (2, 1))) == [["no face seen"]] * 2
