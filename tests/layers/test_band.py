"""Who sees whom, by hand."""

import numpy as np

from mman_jax.layers.attention import band, keep

RESET = np.array([[False, False, True, False]])


def test_a_row_that_goes_on_sees_what_was_kept_of_its_own_conversation():
    # Three cells are kept, two of them of this conversation; a cell sees three.
    found = band(RESET, window=3, count=np.array([2.0]))
    assert found.seen[0].astype(int).tolist() == [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    assert found.position[0].tolist() == [2, 3, 0, 1]
    assert found.count.tolist() == [2]


def test_a_conversation_longer_than_the_band_counts_on():
    found = band(np.zeros((1, 1), bool), window=2, count=np.array([7.0]))
    assert found.seen[0].astype(int).tolist() == [[0, 1, 1]]
    assert (found.position.tolist(), found.count.tolist()) == ([[7]], [8])


def test_ahead_it_sees_as_many_later_cells():
    found = band(RESET, window=2, ahead=True)
    assert found.seen[0].astype(int).tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]


def test_the_last_cells_are_kept_also_of_a_row_shorter_than_the_band():
    cells = np.arange(1, 5, dtype="f4").reshape(1, 4, 1)
    assert keep(None, cells[:, :2], 3)[0, :, 0].tolist() == [0, 1, 2]
    assert keep(cells[:, :3], cells[:, 3:], 3)[0, :, 0].tolist() == [2, 3, 4]
