import os
import pickle
import resource
import struct

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import unpickler
from tests.files.pickles import array_pickle, load, refused, text
from tests.iemocap_pickle import python2_pickle


@pytest.fixture(params=["in memory", "from the file"])
def way(request, monkeypatch):
    """Small files are read into memory; here both ways are."""
    if request.param == "from the file":
        monkeypatch.setattr(unpickler, "_IN_MEMORY", -1)


MARKER = "executed"


class Reduce:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


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
