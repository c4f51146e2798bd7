import gc
import io
import zipfile

import numpy as np
import pytest

from mman_jax.files import arrays
from mman_jax.files.arrays import Growing, OnDisk
from tests.data.small import header, refuses

VALUES = {
    "text": np.array("some {json}"),
    "names": np.array(["a", "bcd"]),
    "table": np.arange(6.0).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "flags/deep": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_are_read(tmp_path, save):
    save(tmp_path / "x.npz", **VALUES)
    read = arrays.read(tmp_path / "x.npz", "arrays")
    assert read.keys() == VALUES.keys()
    for name, array in VALUES.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def packed(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


NUMBERS = bytes(24)
REFUSED = {
    "an array of object": npy(np.array([1, None])),
    "a header for 799999999992 bytes": header("(99999999999,)", "<f8") + NUMBERS,
    "a header for -8 bytes": header("(-1,)", "<f8") + NUMBERS,
    "a header for 16 bytes": header("(2,)", "<f8") + NUMBERS,
    "unreadable": b"no array",
    "unreadable (EOF": b"",
    "unreadable (array format (3, 0)": b"\x93NUMPY\x03\x00" + bytes(20),
    "unreadable (Header": b"\x93NUMPY\x01\x00\x02\x00{}",
    "characters that do not exist": npy(np.array(["ab"]))[:-4] + b"\xff" * 4,
    "an array of complex128": npy(np.array([1j])),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_members_that_are_no_arrays_of_numbers_or_text(tmp_path, problem):
    path = packed(tmp_path / "x.npz", {"a.npy": REFUSED[problem]})
    refuses(lambda: arrays.read(path, "arrays"), f"x.npz: a: {problem}")


def test_files_that_are_no_archives(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK")
    refuses(lambda: arrays.read(tmp_path / "x.npz", "arrays"), "x.npz: unreadable", "arrays")
    refuses(lambda: arrays.read(tmp_path / "none.npz", "arrays"), "none.npz: unreadable")
    path = packed(tmp_path / "y.npz", {"a": npy(np.zeros(3)), "a.npy": npy(np.ones(3))})
    refuses(lambda: arrays.read(path, "arrays"), "y.npz: a: occurs twice")


def test_npy_files(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    for made in (array, np.asfortranarray(array), array.astype(">f4"), np.array(1.5), array[:0]):
        np.save(tmp_path / "x.npy", made)
        read = arrays.read_npy(tmp_path / "x.npy")
        np.testing.assert_array_equal(np.asarray(read[:]), np.atleast_1d(made))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "unreadable"),
        (b"\x93NUMPY\x01\x00", "unreadable"),
        (b"hello", "unreadable"),
        (header("(2**50,)", "<f8"), "unreadable"),
        (header("(99999999999,)", "<f8") + bytes(4), "4 bytes of values"),
        (header("(2,)", "|O"), "an array of object"),
    ],
)
def test_files_that_are_no_arrays(tmp_path, content, problem):
    (tmp_path / "x.npy").write_bytes(content)
    refuses(lambda: arrays.read_npy(tmp_path / "x.npy"), "x.npy: ", problem)
    refuses(lambda: arrays.read_npy(tmp_path / "none.npy"), "none.npy: no such file")


def test_arrays_with_a_card(tmp_path):
    path = tmp_path / "new" / "x.npz"
    several = {"a": np.arange(3), "b/c": np.array(["x", "y"]), "d": np.array([True])}
    arrays.write_carded(path, several, {"n": 1}, "about")
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file) == ["a", "about", "b/c", "d"]
    read, card = arrays.read_carded(path, "it", "about")
    assert card == {"n": 1}
    for name, array in several.items():
        np.testing.assert_array_equal(read[name], array)
    for content in ({"a": np.zeros(1)}, {"card": np.array("{")}):
        np.savez(tmp_path / "x.npz", **content)
        refuses(lambda: arrays.read_carded(tmp_path / "x.npz", "it"), "x.npz: no card", "it")
    refuses(lambda: arrays.read_carded(tmp_path / "none.npz", "it"), "no such file")
    missing = tmp_path / "none" / "x.npz"
    refuses(lambda: arrays.write_carded(missing, {}, {}, make_folder=False), "cannot be written")


def test_rows_on_disk(tmp_path):
    path, array = tmp_path / "x", np.arange(24, dtype=">i2").reshape(4, 3, 2)
    path.write_bytes(b"before" + array.tobytes() + b"after")
    on_disk = OnDisk(path, 6, array.dtype, array.shape)
    assert (len(on_disk), on_disk.ndim, on_disk.size) == (4, 3, 24)
    for rows in (slice(None), slice(1, 3), slice(-1, None), slice(3, 99), slice(2, 2)):
        np.testing.assert_array_equal(on_disk[rows], array[rows])
    np.testing.assert_array_equal(np.asarray(on_disk), array)
    assert np.asarray(on_disk).dtype == array.dtype
    assert np.asarray(on_disk, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        on_disk[::2]
    path.write_bytes(b"before")
    refuses(lambda: on_disk[:], "x: it has become shorter")
    path.unlink()
    refuses(lambda: on_disk[:], "x: unreadable")


def test_a_growing_array_is_mapped_and_outlives_its_writer():
    growing = Growing(2)
    for rows in ([[1, 2]], np.zeros((0, 2)), [[3, 4], [1e300, 6]]):
        growing.append(np.array(rows, np.float64))
    array = growing.array()
    del growing
    gc.collect()
    assert isinstance(array, np.memmap)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 2], [3, 4], [np.inf, 6]])
    assert Growing(3).array().shape == (0, 3)


def test_an_abandoned_growing_array_closes_its_file():
    abandoned = Growing(1)
    abandoned.append(np.ones((1, 1)))
    file = abandoned._file
    del abandoned
    gc.collect()
    assert file.closed
