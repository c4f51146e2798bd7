import collections
import pickle
import struct

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import archive, unpickler
from mman_jax.files.arrays import OnDisk
from tests.data.small import refuses
from tests.files.pickles import array, call, dtype, load, number, refused, shape, text
from tests.iemocap_pickle import python2_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


PLAIN = (
    {"a": [1, -2, 2.5, None, True], "b": (1, ("x", b"y\xff"), {"k": 2**70})},
    *({1, "two"}, frozenset([3]), "é" * 300, bytearray(b"12")),
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values(tmp_path, protocol):
    values = PLAIN if protocol == 5 else PLAIN[:-1] if protocol else PLAIN[:3]
    assert load(tmp_path, pickle.dumps(values, protocol)) == values


ARRAYS = (
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.arange(6, dtype=">f8").reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype="i2").reshape(2, 3)),
    *(np.array([True, False]), np.array(["ab", "c"]), np.array([b"ab", b"c"])),
    *(np.zeros((0, 4), np.float32), np.array(2.5)),
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays(tmp_path, protocol, array):
    first, second = load(tmp_path, pickle.dumps([array, array], protocol))
    np.testing.assert_array_equal(first, array)
    assert type(first) is np.ndarray
    assert first.shape == array.shape
    assert first.dtype == pickle.loads(pickle.dumps(array, protocol)).dtype
    assert first is second  # from the memo, to which it was added before it was filled


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars_and_mappings_become_plain(tmp_path, protocol):
    counts = collections.defaultdict(list, {"a": [1]})
    values = [np.float32(0.5), np.int64(7), counts, collections.OrderedDict(b=2)]
    loaded = load(tmp_path, pickle.dumps(values, protocol))
    assert loaded == [0.5, 7, {"a": [1]}, {"b": 2}]
    assert [type(value) for value in loaded] == [float, int, dict, dict]


def test_python_2(tmp_path):
    array = np.arange(4, dtype=np.float32)
    value = ({"a": [array]}, {"x", "y"}, "caf\xe9", "long" * 100)
    loaded = load(tmp_path, python2_pickle(value))
    np.testing.assert_array_equal(loaded[0]["a"][0], array)
    assert loaded[1:] == value[1:]
    assert load(tmp_path, b"(S'it\\'s'\nI5\nL7L\nF0.5\nt.") == ("it's", 5, 7, 0.5)
    assert load(tmp_path, b"c__builtin__\nset\n((lp0\nI1\naI2\natR.") == {1, 2}


def test_old_and_new_module_paths_of_numpy(tmp_path):
    new, name = pickle.dumps(np.arange(3.0), 2), b"numpy._core.multiarray"
    assert name in new
    for data in (new, new.replace(name, b"numpy.core.multiarray")):
        np.testing.assert_array_equal(load(tmp_path, data), np.arange(3.0))


ORDERED = b"ccollections\nOrderedDict\n"
REFUSED = {
    "a container of a int": b"c__builtin__\nlist\n(K\x01tR",
    "a mapping of something other than pairs": ORDERED + b"((lK\x01atR",
    "something other than pairs": ORDERED + b"((l(K\x01K\x01K\x01tatR",
    "an integer beyond 64 bits as a key or set element": b"}" + number(2**64) + b"Ns",
    "a list as a key or set element": b"}]Ns",
    "bytes encoded as 'rot13'": call(b"_codecs encode", text(b"a"), text(b"rot13")),
    "negative PUT argument": b"Np-1\n",
    "memo index out of range": b"Np4294967296\n",
    "objects that are far larger than the file": b"\x80\x04(" + b"\x8f" * 370_000 + b"t",
    "it builds objects that are far larger than the file":
    b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(1000)) + b"uq\x000"
    + ORDERED + b"q\x010(" + b"h\x01h\x00\x85R" * 1000 + b"t",
    "a dtype of another byte order": array(shape(2), dtype(state=b"(K\x03tb")),
    "dtype of another byte order": array(shape(2), dtype(state=b"(K\x03U\x01!tb")),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_name_the_problem(tmp_path, message):
    assert message in refused(tmp_path, REFUSED[message] + b".")


def test_limits_are_inclusive(tmp_path, monkeypatch):
    assert load(tmp_path, b"}" + number(2**64 - 1) + b"Ns.") == {2**64 - 1: None}
    assert load(tmp_path, b"Np4294967295\n.") is None
    assert load(tmp_path, ORDERED + b"(}U\x01aK\x05stR.") == {"a": 5}
    assert isinstance(load(tmp_path, b"]" * 300_000 + b"a" * 299_999 + b"."), list)
    # A dtype whose code is bytes, and whose state is its byte order alone.
    order, content = b"(K\x03U\x01>tb", b"U\x08" + np.array([1, 2], ">f4").tobytes()
    big = array(shape(2), dtype(state=order), content) + b"."
    assert load(tmp_path, big).tolist() == [1, 2]
    assert load(tmp_path, big.replace(b"U\x02f4", b"C\x02f4")).tolist() == [1, 2]
    # Copies may have 32 times the size of the file, and the constant; a mark counts as 130 bytes.
    monkeypatch.setattr(unpickler, "_FREE_BYTES", 1024 + 130)
    calls = b"q\x000c_codecs\nencode\nq\x010(" + b"h\x01h\x00\x85R" * 40 + b"t."
    size = next(n for n in range(9999) if 40 * n == 32 * len(text(b"a" * n) + calls) + 1024)
    assert load(tmp_path, text(b"a" * size) + calls) == (b"a" * size,) * 40
    assert "far larger than the file" in refused(tmp_path, text(b"a" * (size + 1)) + calls)


def test_every_truncation_is_refused(tmp_path):
    complete = python2_pickle(({"a": [np.arange(3.0)]}, {"b"}, ["c" * 300]))
    for stop in range(len(complete)):
        refused(tmp_path, complete[:stop])


def test_damage_raises_no_other_error(tmp_path):
    rng = np.random.default_rng(0)
    complete = python2_pickle(({"a": [np.arange(3.0)]}, {"b"}, ["c" * 30]))
    for _ in range(500):
        damaged = bytearray(complete)
        for position in rng.integers(len(complete), size=2):
            damaged[position] = rng.integers(256)
        try:
            load(tmp_path, bytes(damaged))
        except InputError:
            continue


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b"PK\x03\x04", b"\x80\x63."])
def test_files_other_than_pickles(tmp_path, data):
    refused(tmp_path, data)
    refuses(lambda: unpickler.load(tmp_path / "none.pkl"), "none.pkl")


class Reduce:
    def __reduce__(self):
        return (print, ("ran",))


def test_archives_of_pickled_dicts(tmp_path, capsys):
    path, facts = tmp_path / "x.npz", {"a": {"emo": 1, "val": np.float64(0.5)}, "b": {"emo": "sad"}}
    np.savez_compressed(path, one=np.array(facts, object), two=np.array({}, object))
    assert unpickler.load_archive(path) == {"one": facts, "two": {}}
    assert archive.keys(path) == ["one", "two"]
    assert archive.keys(tmp_path / "none") == []
    for other in (np.arange(3), np.array(["a"], object), np.array(1.0)):
        np.savez(path, one=other)
        refuses(lambda: unpickler.load_archive(path), "x.npz: one: an array of")
    np.savez(path, one=np.array(Reduce(), object))
    refuses(lambda: unpickler.load_archive(path), "x.npz: one", "'builtins.print'")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_object_arrays_of_text_and_numbers(tmp_path, protocol):
    array = np.array([["a", b"b", 1], [2.5, True, "é"]], object)
    value = [array, np.asfortranarray(array), array[:0], array]
    loaded = load(tmp_path, pickle.dumps(value, protocol))
    for one, other in zip(loaded, value, strict=True):
        assert one.dtype == object
        assert one.shape == other.shape
        assert one.tolist() == other.tolist()
    assert loaded[0] is loaded[3]


@pytest.mark.parametrize("item", [None, [1], (1,), {"a": 1}, np.ones(2)])
def test_object_arrays_of_other_values(tmp_path, item):
    array = np.empty(1, object)
    array[0] = item
    assert "Python objects in an array" in refused(tmp_path, pickle.dumps(array))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_large_arrays_stay_in_the_file(tmp_path, protocol, monkeypatch):
    monkeypatch.setattr(unpickler, "LARGE", 1 << 17)
    array = np.random.default_rng(0).normal(size=(300, 70, 2))
    value = {"a": array, "again": array, "f": np.asfortranarray(array), "small": array[:2]}
    content = pickle.dumps(value, protocol)
    loaded = load(tmp_path, content)
    # Python 3 writes bytes as text in protocols 0 to 2, which differs from the array's memory.
    assert isinstance(loaded["a"], OnDisk) == (protocol >= 3)
    assert loaded["a"] is loaded["again"]
    for name, expected in value.items():
        np.testing.assert_array_equal(np.asarray(loaded[name]), expected)
    refused(tmp_path, content[: len(content) // 3])
