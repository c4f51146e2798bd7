import gc

import numpy as np

from mman_jax.files.arrays import Growing


def test_what_was_appended_is_mapped_and_outlives_the_one_who_wrote_it():
    grown = Growing(2)
    grown.append(np.array([[1, 2]], np.float64))
    grown.append(np.zeros((0, 2)))
    grown.append(np.array([[3, 4], [1e300, 6]]))
    array = grown.array()
    del grown
    gc.collect()
    assert isinstance(array, np.memmap)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 2], [3, 4], [np.inf, 6]])


def test_nothing_is_an_array_and_an_abandoned_one_closes_its_file():
    assert Growing(3).array().shape == (0, 3)
    abandoned = Growing(1)
    abandoned.append(np.ones((1, 1)))
    file = abandoned._file
    del abandoned
    gc.collect()
    assert file.closed
