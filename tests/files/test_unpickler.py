import collections
import pickle
import struct

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import archive, unpickler
from mman_jax.files.arrays import OnDisk
from tests.files.pickles import array_pickle, load, refused, text
from tests.iemocap_pickle import python2_pickle


@pytest.fixture(params=["in memory", "from the file"])
def way(request, monkeypatch):
    """Small files are read into memory; here both ways are."""
    if request.param == "from the file":
        monkeypatch.setattr(unpickler, "_IN_MEMORY", -1)


PLAIN = (
    {"a": [1, -2, 2.5, None, True], "b": (1, ("x", b"y\xff"), {"k": 2**70})},
    {1, "two"},
    frozenset([3]),
    bytearray(b"12"),
    "é" * 300,
)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values(tmp_path, protocol):
    values = PLAIN if protocol else PLAIN[:3]
    if protocol < 5:
        values = tuple(value for value in values if not isinstance(value, bytearray))
    assert load(tmp_path, pickle.dumps(values, protocol)) == values


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype="i2").reshape(2, 3)),
        np.array([True, False]),
        np.array(["ab", "c"]),
        np.array([b"ab", b"c"]),
        np.zeros((0, 4), np.float32),
        np.array(2.5),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_of_each_protocol(tmp_path, protocol, array):
    first, second = load(tmp_path, pickle.dumps([array, array], protocol))
    np.testing.assert_array_equal(first, array)
    assert type(first) is np.ndarray
    assert first.shape == array.shape
    assert first.dtype == pickle.loads(pickle.dumps(array, protocol)).dtype
    assert first is second  # through the memo, which held it before it was filled


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_scalars_and_mappings_become_plain(tmp_path, protocol):
    counts = collections.defaultdict(list, {"a": [1]})
    values = [np.float32(0.5), np.int64(7), counts, collections.OrderedDict(b=2)]
    read = load(tmp_path, pickle.dumps(values, protocol))
    assert read == [0.5, 7, {"a": [1]}, {"b": 2}]
    assert [type(value) for value in read] == [float, int, dict, dict]


def test_python_2(tmp_path):
    array = np.arange(4, dtype=np.float32)
    value = ({"a": [array]}, {"x", "y"}, "caf\xe9", "long" * 100)
    read = load(tmp_path, python2_pickle(value))
    np.testing.assert_array_equal(read[0]["a"][0], array)
    assert read[1:] == value[1:]
    assert load(tmp_path, b"(S'it\\'s'\nI5\nL7L\nF0.5\nt.") == ("it's", 5, 7, 0.5)
    assert load(tmp_path, b"c__builtin__\nset\n((lp0\nI1\naI2\natR.") == {1, 2}


def test_old_and_new_module_paths_are_one(tmp_path):
    array = np.arange(3.0)
    new = pickle.dumps(array, 2)
    name = b"numpy._core.multiarray"
    assert name in new
    for data in (new, new.replace(name, b"numpy.core.multiarray")):
        np.testing.assert_array_equal(load(tmp_path, data), array)


def test_array_pickle_helper_is_sound(tmp_path):
    assert load(tmp_path, array_pickle((2,))).tolist() == [0.0, 0.0]


def text_of(size):
    """A text of so many characters and the memo's 0 for it."""
    return b"X" + struct.pack("<I", size) + b"a" * size + b"q\x00"


SAID = {
    "a list of a number": (b"c__builtin__\nlist\n(K\x01tR.", "a list of a int"),
    "a mapping of numbers": (
        b"ccollections\nOrderedDict\n((lK\x01atR.",
        "a mapping of something other than pairs",
    ),
    "a mapping of triples": (
        b"ccollections\nOrderedDict\n((l(K\x01K\x01K\x01tatR.",
        "a mapping of something other than pairs",
    ),
    "a key of 65 bits": (
        b"}\x8a\x09" + (2**64).to_bytes(9, "little") + b"Ns.",
        "an integer beyond 64 bits as a key or set element",
    ),
    "a list as a key": (b"}]Ns.", "a list as a key or set element"),
    "another codec": (
        b"c_codecs\nencode\n(" + text(b"a") + text(b"rot13") + b"tR.",
        "bytes encoded as 'rot13'",
    ),
    "a memo index below zero": (b"Np-1\n.", "a memo index out of range"),
    "a memo index of 33 bits": (b"Np4294967296\n.", "a memo index out of range"),
    "sets alone": (b"\x80\x04(" + b"\x8f" * 370_000 + b"t.", "builds far more than the file holds"),
    "a dict again and again": (
        b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(1000)) + b"uq\x000"
        + b"ccollections\nOrderedDict\nq\x010(" + b"h\x01h\x00\x85R" * 40 + b"t.",
        "it claims more data than the file holds",
    ),
    "a dtype without a byte order": (
        array_pickle((2,), state=b"(K\x03tb"),
        "a dtype of another byte order",
    ),
    "a dtype of no byte order": (
        array_pickle((2,), state=b"(K\x03U\x01!tb"),
        "a dtype of another byte order",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_said(tmp_path, name):
    data, said = SAID[name]
    assert said in refused(tmp_path, data)


def test_what_is_just_allowed_is_read(tmp_path):
    number = b"\x8a\x09" + (2**64 - 1).to_bytes(9, "little")
    assert load(tmp_path, b"}" + number + b"Ns.") == {2**64 - 1: None}
    assert load(tmp_path, b"Np4294967295\n.") is None
    copied = b"ccollections\nOrderedDict\n(}U\x01aK\x05stR."
    assert load(tmp_path, copied) == {"a": 5}
    # A dtype by bytes, and a state of its order alone.
    big = array_pickle((2,), raw=np.array([1, 2], ">f4").tobytes(), state=b"(K\x03U\x01>tb")
    assert load(tmp_path, big).tolist() == [1, 2]
    assert load(tmp_path, big.replace(b"U\x02f4", b"C\x02f4")).tolist() == [1, 2]


def test_copies_may_come_to_four_times_the_file_and_a_kib(tmp_path):
    calls = b"0c_codecs\nencode\nq\x010(" + b"h\x01h\x00\x85R" * 5 + b"t."

    def data(size):
        return text_of(size) + calls

    size = next(n for n in range(9999) if 5 * n == 4 * len(data(n)) + 1024)
    assert load(tmp_path, data(size)) == (b"a" * size,) * 5
    assert "claims more data" in refused(tmp_path, data(size + 1))


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
