import pickle

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import archive, arrays, unpickler
from mman_jax.files.arrays import OnDisk

FACTS = {"a": {"emo": 1, "val": np.float64(0.5)}, "b": {"emo": "sad"}}


def test_what_savez_pickled(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", one=np.array(FACTS, object), two=np.array({}, object))
    assert unpickler.load_archive(tmp_path / "x.npz") == {"one": FACTS, "two": {}}
    assert archive.keys(tmp_path / "x.npz") == ["one", "two"]
    assert archive.keys(tmp_path / "none") == []


@pytest.mark.parametrize("array", [np.arange(3), np.array(["a"], object), np.array(1.0)])
def test_other_arrays_are_refused(tmp_path, array):
    np.savez(tmp_path / "x.npz", one=array)
    with pytest.raises(InputError, match=r"x\.npz: one: an array of"):
        unpickler.load_archive(tmp_path / "x.npz")


class Reduce:
    def __reduce__(self):
        return (print, ("ran",))


def test_code_is_not_run(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", one=np.array(Reduce(), object))
    with pytest.raises(InputError, match=r"x\.npz: one: the global 'builtins\.print'"):
        unpickler.load_archive(tmp_path / "x.npz")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("protocol", range(6))
def test_object_arrays_of_text_and_numbers(tmp_path, protocol):
    array = np.array([["a", b"b", 1], [2.5, True, "é"]], object)
    value = [array, np.asfortranarray(array), array[:0], array]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    found = unpickler.load(tmp_path / "x.pkl")
    for one, other in zip(found, value, strict=True):
        assert one.dtype == object
        assert one.shape == other.shape
        assert one.tolist() == other.tolist()
    assert found[0] is found[3]


@pytest.mark.parametrize("item", [None, [1], (1,), {"a": 1}, np.ones(2)])
def test_object_arrays_of_anything_else(tmp_path, item):
    array = np.empty(1, object)
    array[0] = item
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(array))
    with pytest.raises(InputError, match="holds Python objects in an array"):
        unpickler.load(tmp_path / "x.pkl")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_large_arrays_stay_in_the_file(tmp_path, protocol, in_memory, monkeypatch):
    monkeypatch.setattr(unpickler, "_IN_MEMORY", in_memory)
    monkeypatch.setattr("mman_jax.files.opcodes.LARGE", 1 << 17)
    array = np.random.default_rng(0).normal(size=(300, 70, 2))
    value = {"a": array, "again": array, "f": np.asfortranarray(array), "small": array[:2]}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    found = unpickler.load(tmp_path / "x.pkl")
    # Protocols 0 to 2 of Python 3 write bytes as text, which is not what memory holds.
    assert isinstance(found["a"], OnDisk) == (protocol >= 3)
    assert found["a"] is found["again"]
    for name, expected in value.items():
        np.testing.assert_array_equal(np.asarray(found[name]), expected)
    content = (tmp_path / "x.pkl").read_bytes()
    (tmp_path / "x.pkl").write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match=r"truncated|damaged"):
        unpickler.load(tmp_path / "x.pkl")


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
