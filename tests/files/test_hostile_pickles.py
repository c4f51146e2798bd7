"""Pickles that would run code, fill the memory or hang are refused in a watched process."""

import os
import pickle
import struct

import pytest

from tests.files.conftest import SECONDS
from tests.files.pickles import NDARRAY, array, call, dtype, number, shape, text
from tests.robustness import guard

MEMORY = 400 << 20  # above what the watched process holds without a case


class Reduce:
    def __reduce__(self):
        return os.system, ("touch executed",)


SYSTEM = b"cos\nsystem\n"
TOUCH = text(b"touch executed")
SET = b"c__builtin__\nset\n"

EXECUTING = {
    "reduce": call(b"os system", TOUCH),
    "reduce by Python, protocol 2": pickle.dumps(Reduce(), 2)[:-1],
    "reduce by Python, protocol 4": pickle.dumps(Reduce(), 4)[:-1],
    "reduce of a nested name": b"\x80\x04" + text(b"os") + text(b"path.os.system") + b"\x93"
    + TOUCH + b"\x85R",
    "reduce within a tuple": b"(" + call(b"posix system", TOUCH) + b"t",
    "reduce as a key": b"}" + call(b"os system", TOUCH) + b"K\x01s",
    "reduce outside the result": call(b"os system", TOUCH) + b"0N",
    "reduce through the memo": SYSTEM + b"q\x00" + TOUCH + b"q\x010h\x00h\x01\x85R",
    "reduce by an alias": call(b"nt system", TOUCH),
    "reduce of a module of this package": call(b"mman_jax.files.unpickler load", text(b"x")),
    "reduce of NumPy's loader": call(b"numpy.lib.npyio load", text(b"x")),
    "reduce of NumPy's public loader": call(b"numpy load", text(b"x")),
    "reduce of a built-in": call(b"__builtin__ eval", text(b"open('executed', 'w')")),
    "reduce of getattr": call(b"builtins getattr", text(b"a"), text(b"__class__")),
    "reduce of a method": call(b"_codecs decode", text(b"a"), text(b"rot13")),
    "reduce of a number": b"K\x01K\x02\x85R",
    "a codec": call(b"_codecs encode", text(b"a"), text(b"zlib_codec")),
    "build of a global": SYSTEM + b"}" + text(b"a") + b"K\x01sb",
    "build of an allowed global": SET + b"(N}S'x'\nK\x01stb",
    "build of a list": b"](K\x01tb",
    "build of a dtype by a dict": dtype() + b"}" + text(b"names") + b"Nsb",
    "build with __setstate__": b"]}" + text(b"__setstate__") + SYSTEM + b"sb",
    "build of slots": b"](N}" + text(b"append") + SYSTEM + b"stb",
    "global alone": SYSTEM,
    "global without a name": b"cos\n\n",
    "global in Unicode": b"c\xd0\xbes\nsystem\n",
    "global with a line break": b"cos\nsys\rtem\n",
    "global of copy_reg": b"ccopy_reg\n_reconstructor\n",
    "stack_global": b"\x80\x04" + text(b"os") + text(b"system") + b"\x93" + TOUCH + b"\x85R",
    "stack_global with a dot": b"\x80\x04" + text(b"numpy") + text(b"dtype.__new__") + b"\x93",
    "stack_global of numbers": b"\x80\x04K\x01K\x02\x93",
    "inst": b"(" + TOUCH + b"ios\nsystem\n",
    "obj": b"(" + SYSTEM + TOUCH + b"o",
    "newobj": SYSTEM + TOUCH + b"\x85\x81",
    "newobj of an allowed global": SET + b")\x81",
    "newobj_ex": SYSTEM + TOUCH + b"\x85}\x92",
    "newobj_ex of an allowed global": SET + b")}\x92",
    "ext1": b"\x82\x01",
    "ext2": b"\x83\x01\x00",
    "ext4": b"\x84\x01\x00\x00\x00",
    "ext4 below zero": b"\x84\xff\xff\xff\xff",
    "persistent id": b"Pos.system\n",
    "binary persistent id": TOUCH + b"Q",
    "buffer out of band": b"\x80\x05\x97\x98",
    "a pickle in a pickle": call(b"pickle loads", text(b"cos\nsystem\n.")),
    "a pickle as bytes": call(
        b"numpy.core.multiarray scalar", dtype(b"O"), b"U\x0ecos\nsystem\n)R."),
    "objects in an array": array(b"K\x01\x85", dtype(b"O8"), b"]Na"),
}  # fmt: skip
NAMED = {"reduce": "os.system", "reduce of getattr": "builtins.getattr", "inst": "INST",
         "reduce by Python, protocol 4": "posix.system", "persistent id": "PERSID",
         "newobj of an allowed global": "NEWOBJ", "ext4": "EXT4"}  # fmt: skip

LENGTHS = {
    f"{name} of {size}": code + struct.pack(form, size) + b"x"
    for name, code, form, sizes in (
        ("BINSTRING", b"T", "<i", (2**31 - 1, -1)),
        ("SHORT_BINSTRING", b"U", "<B", (255,)),
        ("BINUNICODE", b"X", "<I", (2**32 - 1,)),
        ("SHORT_BINUNICODE", b"\x8c", "<B", (255,)),
        ("BINUNICODE8", b"\x8d", "<Q", (2**40, 2**63, 2**64 - 1)),
        ("BINBYTES", b"B", "<I", (2**32 - 1,)),
        ("SHORT_BINBYTES", b"C", "<B", (255,)),
        ("BINBYTES8", b"\x8e", "<Q", (2**40, 2**63, 2**64 - 1)),
        ("BYTEARRAY8", b"\x96", "<Q", (2**40, 2**63, 2**64 - 1)),
        ("LONG1", b"\x8a", "<B", (255,)),
        ("LONG4", b"\x8b", "<i", (2**31 - 1, -1)),
        ("FRAME", b"\x80\x04\x95", "<Q", (2**40, 2**63, 2**64 - 1)),
    )
    for size in sizes
}
COUNT = 40_000
SAME_HASH = [  # all multiples of this number have the hash 0
    b"\x8a\x0b" + (i * (2**61 - 1)).to_bytes(11, "little") for i in range(COUNT)
]
DEEP = b"\x85" * 1_000_000
GREEDY = {
    "memo index": b"Nr\xff\xff\xff\xff",
    "memo index of a list": b"]r\xff\xff\xff\xff0\x8c\x00h\xff",
    "memo index in digits": b"Np" + b"9" * 4000 + b"\n",
    "memo index below zero": b"Np-1\n",
    "memo read before it is written": b"h\x07",
    "memo of one hash": b"N" + b"".join(b"p%d\n" % (i * (2**61 - 1)) for i in range(COUNT)),
    "keys of one hash": b"}(" + b"".join(key + b"N" for key in SAME_HASH) + b"u",
    "set of one hash": b"\x80\x04\x8f(" + b"".join(SAME_HASH) + b"\x90",
    "a list of lists of lists": b"]q\x00" + b"".join(
        b"](" + b"h" + bytes([i % 250]) + b"h" + bytes([i % 250]) + b"eq" + bytes([(i + 1) % 250])
        for i in range(1000)),
    "copies of copies": b"](" + b"K\x01" * 100 + b"eq\x00" + b"".join(
        b"c__builtin__\nlist\n(h\x00tRq\x00" for _ in range(COUNT)),
    "a list of copies": b"](" + b"K\x01" * 5000 + b"eq\x000]"
    + b"c__builtin__\nlist\nq\x010(" + b"h\x01h\x00\x85R" * 5000 + b"e",
    "copies of a scalar": b"T" + struct.pack("<i", 50_000) + b"\0" * 50_000 + b"q\x000"
    + b"cnumpy.core.multiarray\nscalar\nq\x010" + dtype(b"S50000") + b"q\x020("
    + b"h\x01h\x02h\x00\x86R" * 10_000 + b"t",
    "a list in itself": b"]q\x00" + b"h\x00a" * COUNT,
    "sets": b"\x80\x04(" + b"\x8f" * 2_000_000 + b"t",
    "marks": b"(" * 2_000_000,
    "memos of nothing": b"\x80\x04N" + b"\x94" * 2_000_000,
    "lists": b"(" + b"]" * 1_000_000 + b"t",
    "duplicates": b"(N" + b"2" * 2_000_000 + b"t",
    "deep lists": b"]" * 1_000_000 + b"a" * 999_999,
    "deep tuples": b"N" + DEEP,
    "deep tuples as a key": b"}N" + DEEP + b"Ns",
    "deep arguments": SET + b"N" + DEEP + b"\x85R",
    "deep tuples in a set": SET + b"](N" + DEEP + b"e\x85R",
    "deep tuples added to a set": b"\x80\x04\x8f(N" + DEEP + b"\x90",
    "deep tuples in a frozenset": b"\x80\x04(N" + DEEP + b"\x91",
    "digits": b"I" + b"9" * 1_000_000 + b"\n",
    "digits in base 16": b"I0x" + b"f" * 1_000_000 + b"\n",
    "digits of a float": b"F" + b"9" * 1_000_000 + b"\n",
    "digits of a long": b"L" + b"9" * 1_000_000 + b"L\n",
    "a frame within a frame": b"\x80\x04\x95" + struct.pack("<Q", 9) + b"\x95" + bytes(8) + b"N",
    "a frame that ends in an opcode": b"\x80\x04\x95" + struct.pack("<Q", 2) + b"X\x05\x00\x00\x00",
    "a protocol of the future": b"\x80\xff",
}  # fmt: skip

ARRAYS = {
    "huge shape": array(shape(2**40, 2**40)),
    "shape whose product is zero modulo 2**64": array(shape(2**32, 2**32)),
    "shape larger than the content": array(shape(3)),
    "shape smaller than the content": array(shape(1)),
    "negative shape": array(shape(-1, -2)),
    "shape of floats": array(b"(G" + struct.pack(">d", 2.0) + b"t"),
    "shape of truths": array(b"(\x88\x88t"),
    "shape that is a list": array(b"](K\x02e"),
    "shape of many axes": array(
        b"(\x8a\xff" + b"\x7f" * 255 + b"q\x01" + b"h\x01" * 200_000 + b"t"),
    "rows without values": array(shape(2**40, 0), raw=b"U\x00"),
    "itemsize mismatch": array(shape(2), dtype(b"f8")),
    "objects": array(shape(1), dtype(b"O8")),
    "void": array(shape(1), dtype(b"V8")),
    "wide text": array(shape(0), dtype(b"U999999999"), b"U\x00"),
    "no code point": array(shape(2), dtype(b"U1"), b"U\x08" + b"\xff" * 8),
    "fields": array(shape(1), dtype(b"f8", b"(K\x03U\x01<N}NJ\xff\xff\xff\xffK\x00K\x00tb")),
    "structured dtype": array(shape(1), dtype(b"i4,i4")),
    "subarray": array(shape(1), dtype(b"(2,)f")),
    "large subarray": array(shape(1), dtype(b"(99999999,)f4")),
    "dates": array(shape(1), dtype(b"M8")),
    "dtype of itself": array(shape(2), b"cnumpy\ndtype\n" + dtype() + b"\x85R"),
    "dtype without arguments": array(shape(2), b"cnumpy\ndtype\n)R"),
    "dtype with an alignment": array(shape(2), dtype(state=b"(K\x03U\x01<NNNK\xffK\xffK\x10t")),
    "state too short": NDARRAY + b"(K\x01(K\x02ttb",
    "state of another class": NDARRAY + b"}b",
    "values that are a list": array(shape(2), raw=b"](K\x01K\x02e"),
    "values built twice": array(shape(2)) + b"q\x00" + array(shape(3)).removeprefix(NDARRAY),
    "frombuffer of another order": call(
        b"numpy.core.numeric _frombuffer", b"C\x08" + bytes(8), dtype(), shape(2), b"K\x07"),
}  # fmt: skip

HOSTILE = EXECUTING | LENGTHS | GREEDY | ARRAYS


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_run_no_code_and_take_little_memory_and_time(guarded, baseline, name):
    verdict = guarded.check({"case.npz": HOSTILE[name] + b"."})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    assert NAMED.get(name, "") in verdict.detail
    assert verdict.memory - baseline < MEMORY
    assert verdict.seconds < 4 * SECONDS


def conversations(items, names=(b"a",), vectors=b"h\x00"):
    """A 9-tuple whose conversations share a list of items and one list of vectors per modality."""
    parts = b""
    for field in range(7):
        entry = b"h\x01" if 3 <= field < 6 else b"h\x00"
        parts += b"}(" + b"".join(text(name) + entry for name in names) + b"u"
    start = items + b"q\x000" + vectors + b"q\x010"
    return start + b"(" + parts + b"](" + b"".join(map(text, names)) + b"e]t"


SHARED = {
    "empty vectors": (conversations(b"](" + b"K\x01" * 50_000 + b"e",
                                    [b"%d" % i for i in range(5000)],
                                    b"](" + b"]" * 50_000 + b"e"),
                      "more values than the file holds"),
    "ids of one byte": (conversations(call(b"numpy.core.numeric _frombuffer",
                                           b"B" + struct.pack("<I", 10**7) + b"a" * 10**7,
                                           dtype(b"S1"), number(10**7) + b"\x85", b"U\x01C")),
                        "more values than the file holds"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_shared_values_are_not_copied(guarded, baseline, name):
    content, detail = SHARED[name]
    verdict = guarded.check({"case.npz": content + b"."})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    assert detail in verdict.detail
    assert verdict.memory - baseline < MEMORY
