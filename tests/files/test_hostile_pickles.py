"""Pickles made to run code, to fill the memory or to hang: each refused, while it is watched."""

import pickle
import struct

import pytest

from tests.robustness import guard, openers

SECONDS = 5.0
MEMORY = 400 << 20  # above what the watched process holds anyway


@pytest.fixture(scope="module")
def guarded():
    with guard.Guard(openers.corpus, "case.pkl", SECONDS) as made:
        yield made


@pytest.fixture(scope="module")
def baseline(guarded):
    return guarded.check({"case.pkl": pickle.dumps(1)}).memory


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def call(module, name, *arguments):
    """GLOBAL, arguments and REDUCE."""
    return b"c" + module + b"\n" + name + b"\n(" + b"".join(arguments) + b"tR"


SYSTEM = b"cos\nsystem\n"
TOUCH = text(b"touch executed")
DTYPE = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
START = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"

EXECUTING = {
    "reduce": call(b"os", b"system", TOUCH),
    "reduce of a nested name": b"\x80\x04" + text(b"os") + text(b"path.os.system") + b"\x93"
    + TOUCH + b"\x85R",
    "reduce within a tuple": b"(" + call(b"posix", b"system", TOUCH) + b"t",
    "reduce as a key": b"}" + call(b"os", b"system", TOUCH) + b"K\x01s",
    "reduce beside the result": call(b"os", b"system", TOUCH) + b"0N",
    "reduce after the memo": SYSTEM + b"q\x00" + TOUCH + b"q\x010h\x00h\x01\x85R",
    "reduce by an alias": call(b"nt", b"system", TOUCH),
    "reduce of a module of ours": call(b"mman_jax.files.unpickler", b"load", text(b"/etc/passwd")),
    "reduce of NumPy's loader": call(b"numpy.lib.npyio", b"load", text(b"x")),
    "reduce of a built-in": call(b"__builtin__", b"eval", text(b"1")),
    "reduce of getattr": call(b"builtins", b"getattr", text(b"a"), text(b"__class__")),
    "reduce of a method": call(b"_codecs", b"decode", text(b"a"), text(b"rot13")),
    "a codec": call(b"_codecs", b"encode", text(b"a"), text(b"zlib_codec")),
    "build of a global": SYSTEM + b"}" + text(b"a") + b"K\x01sb",
    "build of a dtype by a dict": DTYPE + b"}" + text(b"names") + b"Nsb",
    "build with __setstate__": b"]}" + text(b"__setstate__") + SYSTEM + b"sb",
    "build of slots": b"](N}" + text(b"append") + SYSTEM + b"stb",
    "global alone": SYSTEM,
    "global without a name": b"cos\n\n",
    "global in Unicode": b"c\xd0\xbes\nsystem\n",
    "stack_global": b"\x80\x04" + text(b"os") + text(b"system") + b"\x93" + TOUCH + b"\x85R",
    "stack_global of numbers": b"\x80\x04K\x01K\x02\x93",
    "inst": b"(" + TOUCH + b"ios\nsystem\n",
    "obj": b"(" + SYSTEM + TOUCH + b"o",
    "newobj": SYSTEM + TOUCH + b"\x85\x81",
    "newobj_ex": SYSTEM + TOUCH + b"\x85}\x92",
    "ext1": b"\x82\x01",
    "ext2": b"\x83\x01\x00",
    "ext4": b"\x84\x01\x00\x00\x00",
    "ext4 below zero": b"\x84\xff\xff\xff\xff",
    "persistent id": b"Pos.system\n",
    "binary persistent id": TOUCH + b"Q",
    "buffer out of band": b"\x80\x05\x97\x98",
    "a pickle in a pickle": call(b"pickle", b"loads", text(b"cos\nsystem\n.")),
    "a pickle as bytes": call(b"numpy.core.multiarray", b"scalar", b"cnumpy\ndtype\n"
    b"U\x01OK\x00K\x01\x87R", b"U\x0ecos\nsystem\n)R."),
    "objects in an array": START + b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89]Natb",
}  # fmt: skip

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
SAME_HASH = 2**61 - 1  # multiples of it all have the hash 0
GREEDY = {
    "memo index": b"Nr\xff\xff\xff\xff",
    "memo index in digits": b"Np" + b"9" * 4000 + b"\n",
    "memo index below zero": b"Np-1\n",
    "memo read before it is written": b"h\x07",
    "memo of one hash": b"N" + b"".join(b"p%d\n" % (i * SAME_HASH) for i in range(COUNT)),
    "keys of one hash": b"}(" + b"".join(
        b"\x8a\x0b" + (i * SAME_HASH).to_bytes(11, "little") + b"N" for i in range(COUNT)) + b"u",
    "set of one hash": b"\x80\x04\x8f(" + b"".join(
        b"\x8a\x0b" + (i * SAME_HASH).to_bytes(11, "little") for i in range(COUNT)) + b"\x90",
    "a list of lists of lists": b"]q\x00" + b"".join(
        b"](" + b"h" + bytes([i % 250]) + b"h" + bytes([i % 250]) + b"eq" + bytes([(i + 1) % 250])
        for i in range(1000)),
    "copies of copies": b"](" + b"K\x01" * 100 + b"eq\x00" + b"".join(
        b"c__builtin__\nlist\n(h\x00tRq\x00" for _ in range(COUNT)),
    "a list in itself": b"]q\x00" + b"h\x00a" * COUNT,
    "sets": b"\x80\x04(" + b"\x8f" * 2_000_000 + b"t",
    "marks": b"(" * 2_000_000,
    "memos of nothing": b"\x80\x04N" + b"\x94" * 2_000_000,
    "lists": b"(" + b"]" * 1_000_000 + b"t",
    "duplicates": b"(N" + b"2" * 2_000_000 + b"t",
    "deep lists": b"]" * 1_000_000 + b"a" * 999_999,
    "deep tuples": b"N" + b"\x85" * 1_000_000,
    "deep tuples as a key": b"}N" + b"\x85" * 1_000_000 + b"Ns",
    "deep arguments": b"c__builtin__\nset\nN" + b"\x85" * 1_000_000 + b"\x85R",
    "digits": b"I" + b"9" * 1_000_000 + b"\n",
    "digits in base 16": b"I0x" + b"f" * 1_000_000 + b"\n",
    "digits of a float": b"F" + b"9" * 1_000_000 + b"\n",
    "digits of a long": b"L" + b"9" * 1_000_000 + b"L\n",
    "a frame within a frame": b"\x80\x04\x95" + struct.pack("<Q", 9) + b"\x95" + bytes(8) + b"N",
    "a frame that ends in an opcode": b"\x80\x04\x95" + struct.pack("<Q", 2) + b"X\x05\x00\x00\x00",
    "a protocol of the future": b"\x80\xff",
}  # fmt: skip


def array(shape, dtype=DTYPE, raw=b"U\x08" + bytes(8)):
    return START + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"


def whole(number):
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


ARRAYS = {
    "huge shape": array(b"(" + whole(2**40) + whole(2**40) + b"t"),
    "shape whose product is zero modulo 2**64": array(b"(" + whole(2**32) * 2 + b"t"),
    "negative shape": array(b"(" + whole(-1) + whole(-2) + b"t"),
    "shape of floats": array(b"(G" + struct.pack(">d", 2.0) + b"t"),
    "shape of truths": array(b"(\x88\x88t"),
    "shape that is a list": array(b"](K\x02e"),
    "shape of a million": array(
        b"(\x8a\xff" + b"\x7f" * 255 + b"q\x01" + b"h\x01" * 200_000 + b"t"
    ),
    "rows without values": array(b"(" + whole(2**40) + b"K\x00t", raw=b"U\x00"),
    "itemsize mismatch": array(b"(K\x02t", DTYPE.replace(b"f4", b"f8")),
    "structured dtype": array(b"(K\x01t", b"cnumpy\ndtype\nU\x05i4,i4K\x00K\x01\x87R"),
    "subarray": array(b"(K\x01t", b"cnumpy\ndtype\nU\x05(2,)fK\x00K\x01\x87R"),
    "dates": array(b"(K\x01t", b"cnumpy\ndtype\nU\x02M8K\x00K\x01\x87R"),
    "dtype of itself": array(b"(K\x02t", b"cnumpy\ndtype\n" + DTYPE + b"\x85R"),
    "dtype without arguments": array(b"(K\x02t", b"cnumpy\ndtype\n)R"),
    "dtype with an alignment state": array(b"(K\x02t", DTYPE + b"(K\x03U\x01<NNNK\xffK\xffK\x10t"),
    "state too short": START + b"(K\x01(K\x02tt" + b"b",
    "state of another class": START + b"}b",
    "values that are a list": array(b"(K\x02t", raw=b"](K\x01K\x02e"),
    "values built twice": array(b"(K\x02t") + b"q\x00" + b"(K\x01(K\x03t" + DTYPE + b"\x89U\x08"
    + bytes(8) + b"tb",
    "frombuffer of another order": call(
        b"numpy.core.numeric", b"_frombuffer", b"C\x08" + bytes(8), DTYPE, b"(K\x02t", b"K\x07"),
}  # fmt: skip

HOSTILE = EXECUTING | LENGTHS | GREEDY | ARRAYS


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_without_code_run_memory_taken_or_time_lost(guarded, baseline, name):
    verdict = guarded.check({"case.pkl": HOSTILE[name] + b"."})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    assert verdict.memory - baseline < MEMORY
    assert verdict.seconds < 4 * SECONDS


def conversations(items, names=(b"a",), vectors=b"h\x00"):
    """A 9-tuple whose conversations share one list of items and, of each modality, of vectors."""
    parts = b""
    for field in range(7):
        entry = b"h\x01" if 3 <= field < 6 else b"h\x00"
        parts += b"}(" + b"".join(text(name) + entry for name in names) + b"u"
    start = items + b"q\x000" + vectors + b"q\x010"
    return start + b"(" + parts + b"](" + b"".join(map(text, names)) + b"e]t"


SHARED = {
    "empty vectors": (
        conversations(
            b"](" + b"K\x01" * 50_000 + b"e",
            [b"%d" % i for i in range(5000)],
            b"](" + b"]" * 50_000 + b"e",
        ),
        "more values than the file holds",
    ),
    "ids of one byte": (
        conversations(
            b"cnumpy.core.numeric\n_frombuffer\n(B" + struct.pack("<I", 10**7) + b"a" * 10**7
            + DTYPE.replace(b"f4", b"S1") + whole(10**7) + b"\x85U\x01CtR"
        ),
        "more values than the file holds",
    ),
    "a long name for every utterance": (
        conversations(b"](" + b"K\x01" * 20_000 + b"e", [b"n" * 200_000]),
        "an id of 200000 characters",
    ),
    "a number that cannot be written out, as an id": (
        conversations(b"](\x8b" + struct.pack("<i", 10_000) + b"\x7f" * 10_000 + b"e"),
        "an integer of 79999 bits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_what_is_referred_to_again_and_again_is_not_copied(guarded, baseline, name):
    content, said = SHARED[name]
    verdict = guarded.check({"case.pkl": content + b"."})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    assert said in verdict.detail
    assert verdict.memory - baseline < MEMORY


def test_the_watched_process_does_see_what_is_done(tmp_path):
    with guard.Guard(pickle_loads, "case.pkl", SECONDS) as made:
        seen = made.check({"case.pkl": EXECUTING["reduce"] + b"."})
    assert seen.outcome == guard.FAILURE
    assert "os.system" in seen.detail


def pickle_loads(path):
    pickle.loads(path.read_bytes())
