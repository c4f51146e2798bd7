import collections
import os
import pickle
import resource
import struct

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import unpickler
from tests.iemocap_pickle import python2_pickle


@pytest.fixture(params=["in memory", "from the file"])
def way(request, monkeypatch):
    """Small files are read into memory; here both ways are."""
    if request.param == "from the file":
        monkeypatch.setattr(unpickler, "_IN_MEMORY", -1)


def load(tmp_path, data):
    (tmp_path / "x.pkl").write_bytes(data)
    return unpickler.load(tmp_path / "x.pkl")


def refused(tmp_path, data):
    with pytest.raises(InputError) as error:
        load(tmp_path, data)
    message = str(error.value)
    assert "x.pkl" in message
    assert "\n" not in message
    assert len(message) < 600
    return message


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


MARKER = "executed"


class Reduce:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


HOSTILE = {
    "reduce": (b"cos\nsystem\n(S'touch executed'\ntR.", "os.system"),
    "reduce posix": (pickle.dumps(Reduce(os.system, "touch executed"), 2), "posix.system"),
    "stack_global": (pickle.dumps(Reduce(os.system, "touch executed"), 4), "posix.system"),
    "eval": (b'c__builtin__\neval\n(S\'open("executed","w")\'\ntR.', "__builtin__.eval"),
    "getattr": (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
    "dotted name": (b"\x80\x04" + text(b"numpy") + text(b"dtype.__new__") + b"\x93.", "dtype."),
    "inst": (b"(S'touch executed'\nios\nsystem\n.", "INST"),
    "obj": (b"(cos\nsystem\nS'touch executed'\no.", "os.system"),
    "newobj": (b"c__builtin__\nset\n)\x81.", "NEWOBJ"),
    "newobj_ex": (b"c__builtin__\nset\n)}\x92.", "NEWOBJ_EX"),
    "ext1": (b"\x82\x01.", "EXT1"),
    "ext2": (b"\x83\x01\x00.", "EXT2"),
    "ext4": (b"\x84\x01\x00\x00\x00.", "EXT4"),
    "persid": (b"Pid\n.", "PERSID"),
    "binpersid": (b"K\x01Q.", "BINPERSID"),
    "next_buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "reconstructor": (b"ccopy_reg\n_reconstructor\n.", "copy_reg._reconstructor"),
    "numpy loader": (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
    "state of a global": (b"c__builtin__\nset\n(N}S'x'\nK\x01stb.", "state"),
    "state of a list": (b"](K\x01tb.", "state"),
    "not callable": (b"K\x01K\x02\x85R.", "TypeError"),
    "line break": (b"cos\nsys\rtem\n.", "os"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_run_nothing_and_are_refused_by_name(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, word = HOSTILE[name]
    assert word in refused(tmp_path, data)
    assert os.listdir(tmp_path) == ["x.pkl"]


def test_the_hostile_pickle_does_execute_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["reduce"][0])
    assert MARKER in os.listdir(tmp_path)


def array_pickle(
    shape,
    dtype=b"f4",
    raw=b"\0" * 8,
    state=b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
):
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return b"".join(
        [
            start + b"(K\x01(",
            *(b"\x8a\x08" + struct.pack("<q", n) for n in shape),
            b"tcnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01\x87R" + state,
            b"\x89U" + bytes([len(raw)]) + raw + b"tb.",
        ]
    )


def test_array_pickle_helper_is_sound(tmp_path):
    assert load(tmp_path, array_pickle((2,))).tolist() == [0.0, 0.0]


GREEDY = {
    "huge shape": array_pickle((2**40, 2**40)),
    "larger shape": array_pickle((3,)),
    "smaller shape": array_pickle((1,)),
    "negative shape": array_pickle((-1, -2)),
    "objects": array_pickle((1,), b"O8"),
    "void": array_pickle((1,), b"V8"),
    "subarray": array_pickle((1,), b"(99999999,)f4"),
    "wide text": array_pickle((0,), b"U999999999", b""),
    "no code point": array_pickle((2,), b"U1", b"\xff" * 8),
    "fields": array_pickle((1,), b"f8", state=b"(K\x03U\x01<N}NJ\xff\xff\xff\xffK\x00K\x00tb"),
    "memo": b"]r\xff\xff\xff\xff0\x8c\x00" + b"h\xff.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"x.",
    "long": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "set of copies": b"](" + b"K\x01" * 5000 + b"eq\x000]"
    + b"c__builtin__\nlist\nq\x010(" + b"h\x01h\x00\x85R" * 5000 + b"e.",
    "array of copies": b"T" + struct.pack("<i", 50_000) + b"\0" * 50_000 + b"q\x000"
    + b"cnumpy.core.multiarray\nscalar\nq\x010cnumpy\ndtype\nU\x06S50000K\x00K\x01\x87Rq\x020("
    + b"h\x01h\x02h\x00\x86R" * 10_000 + b"t.",
}  # fmt: skip


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", GREEDY)
def test_greedy_pickles_are_refused_without_the_memory(tmp_path, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path, GREEDY[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


NESTED = {
    "tuples as a key": b"}" + b")" + b"\x85" * 300_000 + b"K\x01s.",
    "tuples in a set": b"c__builtin__\nset\n](" + b")" + b"\x85" * 300_000 + b"e\x85R.",
    "tuples added to a set": b"\x80\x04\x8f()" + b"\x85" * 300_000 + b"\x90.",
    "tuples in a frozenset": b"\x80\x04()" + b"\x85" * 300_000 + b"\x91.",
    "mark after mark": b"(" * 300_000 + b".",
}


@pytest.mark.parametrize("name", NESTED)
def test_deep_nesting_is_refused(tmp_path, name):
    refused(tmp_path, NESTED[name])


def test_deep_nesting_without_hashing_is_only_deep(tmp_path):
    assert isinstance(load(tmp_path, b"]" * 300_000 + b"a" * 299_999 + b"."), list)


def test_every_truncation_is_refused(tmp_path):
    whole = python2_pickle(({"a": [np.arange(3.0)]}, {"b"}, ["c" * 300]))
    for stop in range(len(whole)):
        refused(tmp_path, whole[:stop])


def test_damaged_bytes_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    whole = python2_pickle(({"a": [np.arange(3.0)]}, {"b"}, ["c" * 30]))
    for _ in range(1500):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=2):
            damaged[position] = rng.integers(256)
        try:
            load(tmp_path, bytes(damaged))
        except InputError:
            continue


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b"PK\x03\x04", b"\x80\x63."])
def test_no_pickle(tmp_path, data):
    refused(tmp_path, data)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.pkl"):
        unpickler.load(tmp_path / "none.pkl")


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
