import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files.arrays import OnDisk


def stored(tmp_path):
    array = np.arange(24, dtype=">i2").reshape(4, 3, 2)
    (tmp_path / "x").write_bytes(b"before" + array.tobytes() + b"after")
    return array, OnDisk(tmp_path / "x", 6, array.dtype, array.shape)


def test_rows_are_those_of_the_array(tmp_path):
    array, on_disk = stored(tmp_path)
    assert (len(on_disk), on_disk.ndim, on_disk.size) == (4, 3, 24)
    for rows in (slice(None), slice(1, 3), slice(-1, None), slice(3, 99), slice(2, 2)):
        np.testing.assert_array_equal(on_disk[rows], array[rows])
    np.testing.assert_array_equal(np.asarray(on_disk), array)
    assert np.asarray(on_disk, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        on_disk[::2]


def test_a_file_that_changed_meanwhile(tmp_path):
    _, on_disk = stored(tmp_path)
    (tmp_path / "x").write_bytes(b"before")
    with pytest.raises(InputError, match="x: it has become shorter"):
        on_disk[:]
    (tmp_path / "x").unlink()
    with pytest.raises(InputError, match="x: unreadable"):
        on_disk[:]
