import io
import zipfile

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import arrays

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
