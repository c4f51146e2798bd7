import gc
import io
import zipfile

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import arrays, carded
from mman_jax.files.arrays import Growing, OnDisk

VALUES = {
    "text": np.array("some {json}"),
    "names": np.array(["a", "bcd"]),
    "table": np.arange(6.0).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "flags/deep": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_any_shape_come_back(tmp_path, save):
    save(tmp_path / "x.npz", **VALUES)
    found = arrays.read(tmp_path / "x.npz", "arrays")
    assert found.keys() == VALUES.keys()
    for name, array in VALUES.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def member(array, claimed=None):
    """The bytes of an array; its header may claim another shape."""
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue()
    if claimed:
        before = str(array.shape).encode()
        content = content.replace(before, claimed).replace(
            b" " * (len(claimed) - len(before)), b"", 1
        )
    return content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (member(np.array([1, None])), "x.npz: a: an array of object: it holds Python objects"),
        (member(np.zeros(3), b"(99999999999,)"), "x.npz: a: a header for 799999999992 bytes"),
        (member(np.zeros(3), b"(-1,)"), "x.npz: a: a header for -8 bytes"),
        (b"no array", "x.npz: a: unreadable"),
        (member(np.array(["ab"]))[:-4] + b"\xff" * 4, "x.npz: a: characters that do not exist"),
        (member(np.zeros(3), b"(2,)"), "x.npz: a: a header for 16 bytes"),
        (member(np.array([1j])), "x.npz: a: an array of complex128"),
    ],
)
def test_what_no_array_of_numbers_or_text_is_refused_by_name(tmp_path, content, said):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(InputError) as error:
        arrays.read(tmp_path / "x.npz", "arrays")
    assert said in str(error.value)


def test_what_is_no_archive_is_refused_by_name(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"x\.npz: unreadable .*; expected arrays"):
        arrays.read(tmp_path / "x.npz", "arrays")
    with pytest.raises(InputError, match=r"none\.npz: unreadable"):
        arrays.read(tmp_path / "none.npz", "arrays")


def test_a_key_with_and_without_the_suffix_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a", member(np.zeros(3)))
        archive.writestr("a.npy", member(np.ones(3)))
    with pytest.raises(InputError, match=r"x\.npz: a: occurs twice, as 'a' and as 'a\.npy'"):
        arrays.read(tmp_path / "x.npz", "arrays")


def test_npy_files(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    for made in (array, np.asfortranarray(array), array.astype(">f4"), np.array(1.5), array[:0]):
        np.save(tmp_path / "x.npy", made)
        found = arrays.read_npy(tmp_path / "x.npy")
        np.testing.assert_array_equal(np.asarray(found[:]), np.atleast_1d(made))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "unreadable"),
        (b"\x93NUMPY\x01\x00", "unreadable"),
        (b"hello", "unreadable"),
        (b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, "
         b"'shape': (2**50,), }            \n", "unreadable"),
        (b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, "
         b"'shape': (99999999999,), }      \n", "4 bytes of values"),
        (b"\x93NUMPY\x01\x00\x46\x00{'descr': '|O', 'fortran_order': False, "
         b"'shape': (2,), }                \n", "an array of object"),
    ],
)  # fmt: skip
def test_npy_files_that_are_none(tmp_path, content, said):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.npy: .*{said}"):
        arrays.read_npy(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"none\.npy: no such file"):
        arrays.read_npy(tmp_path / "none.npy")


def test_arrays_and_card_come_back(tmp_path):
    several = {"a": np.arange(3), "b/c": np.array(["x", "y"]), "d": np.array([True])}
    carded.write(tmp_path / "new" / "x.npz", several, {"n": 1}, "about")
    with np.load(tmp_path / "new" / "x.npz", allow_pickle=False) as file:
        assert sorted(file) == ["a", "about", "b/c", "d"]
    found, card = carded.read(tmp_path / "new" / "x.npz", "it", "about")
    assert card == {"n": 1}
    for name, array in several.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_has_no_card_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match=r"x\.npz: no card .*expected it"):
        carded.read(tmp_path / "x.npz", "it")
    np.savez(tmp_path / "x.npz", card=np.array("{"))
    with pytest.raises(InputError, match="no card"):
        carded.read(tmp_path / "x.npz", "it")
    with pytest.raises(InputError, match="no such file"):
        carded.read(tmp_path / "none.npz", "it")
    with pytest.raises(InputError, match="cannot be written"):
        carded.write(tmp_path / "none" / "x.npz", {}, {}, make_folder=False)


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
