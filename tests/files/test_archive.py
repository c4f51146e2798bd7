"""Archives that lie: written byte by byte, as no library writes them."""

import dataclasses
import io
import os
import struct
import zlib

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.files import archive
from tests.data.readers.npz_files import arrays, header
from tests.robustness import guard, openers

MEMORY = 300 << 20  # above what the watched process holds anyway


@dataclasses.dataclass
class Entry:
    """A member, and what its headers say of it where that is not the truth."""

    name: str
    content: bytes = b""
    packing: int = 0
    flags: int = 0
    claimed: int | None = None
    packed: int | None = None
    local_name: str | None = None
    offset: int | None = None
    extra: bytes = b""
    raw: bytes | None = None  # what lies in the file in place of the packed content


def written(entries, directory_lies=None):
    out, directory = io.BytesIO(), b""
    for e in entries:
        data = e.content
        if e.packing == 8:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            data = packer.compress(e.content) + packer.flush()
        data = data if e.raw is None else e.raw
        size = len(e.content) if e.claimed is None else e.claimed
        packed = len(data) if e.packed is None else e.packed
        crc = zlib.crc32(e.content[:size])
        offset = out.tell() if e.offset is None else e.offset
        common = struct.pack("<HHHHHIII", 20, e.flags, e.packing, 0, 33, crc, packed, size)
        local, name = (e.local_name or e.name).encode(), e.name.encode()
        if e.offset is None:
            out.write(b"PK\3\4" + common + struct.pack("<HH", len(local), 0) + local + data)
        tail = struct.pack("<HHHHHII", len(name), len(e.extra), 0, 0, 0, 0, offset)
        directory += b"PK\1\2" + struct.pack("<H", 20) + common + tail + name + e.extra
    start = out.tell()
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), start, 0)
    return out.getvalue() + directory + (directory_lies or b"") + b"PK\5\6" + end


def array(values):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(values), allow_pickle=True)
    return file.getvalue()


def corpus(*others, **changes):
    """The small corpus, with some members replaced, left out (None) or added."""
    entries = {key: Entry(f"{key}.npy", array(value)) for key, value in arrays().items()}
    entries |= {entry.name.removesuffix(".npy"): entry for entry in changes.values() if entry}
    return [*entries.values(), *others]


def labels(**lies):
    return corpus(change=Entry("labels.npy", array(arrays()["labels"]), **lies))


def zip64(*values):
    return struct.pack("<HH", 1, 8 * len(values)) + struct.pack(f"<{len(values)}Q", *values)


def test_the_writer_of_these_tests_is_sound(tmp_path):
    for packing in (0, 8):
        (tmp_path / "c.npz").write_bytes(written(labels(packing=packing)))
        assert npz.read(tmp_path / "c.npz").labels.tolist() == arrays()["labels"].tolist()
    entries = labels(packing=8, extra=zip64(200), claimed=None)
    assert b"labels" in written(entries)


BOMB = bytes(300 << 20)
SPACES = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * (300 << 20)
NAMES = ("../labels.npy", "features/../../x.npy", "/labels.npy", "features/..\\x.npy", "C:/x.npy")
REFUSED = {
    **{f"name {n}": (lambda n=n: corpus(Entry(n, b"x")), [n, "leaves the archive"]) for n in NAMES},
    "a NUL in a name": (lambda: corpus(Entry("x.npy\0y", b"")), ["x.npy", "unusable name"]),
    "a name that steers a terminal": (lambda: corpus(Entry("\x1b[2J", b"")), ["unusable name"]),
    "a folder": (lambda: corpus(Entry("features/", b"")), ["features/"]),
    "twice": (lambda: corpus(Entry("labels.npy", b"x")), ["labels.npy", "twice"]),
    "twice, once without suffix": (lambda: corpus(Entry("labels", b"x")), ["labels", "twice"]),
    "encrypted": (lambda: labels(flags=1), ["labels.npy", "encrypted"]),
    "strongly encrypted": (lambda: labels(flags=0x41), ["labels.npy", "encrypted"]),
    "patch data": (lambda: labels(flags=0x20), ["labels.npy"]),
    "bzip2": (lambda: labels(packing=12), ["labels.npy", "method 12"]),
    "lzma": (lambda: labels(packing=14), ["labels.npy", "method 14"]),
    "another local name": (lambda: labels(local_name="speakers.npy"), ["labels", "contradicts"]),
    "the header of another": (lambda: labels(offset=0), ["labels.npy", "contradicts"]),
    "no header there": (lambda: labels(offset=7), ["labels.npy", "no header"]),
    "beyond the file": (lambda: labels(offset=2**31), ["labels.npy", "no header"]),
    "stored, more claimed": (lambda: labels(claimed=2**31), ["labels.npy", "claimed"]),
    "stored, into the next": (
        lambda: labels(claimed=500, packed=500),
        ["overlaps member labels.npy"],
    ),
    "stored, over the end": (
        lambda: corpus(Entry("features/x.npy", b"x", claimed=9999, packed=9999)),
        ["features/x.npy", "9999 bytes claimed"],
    ),
    "zip64, size": (
        lambda: labels(claimed=2**32 - 1, packed=2**32 - 1, extra=zip64(2**60, 2**60)),
        ["labels.npy"],
    ),
    "zip64, deflated size": (
        lambda: labels(packing=8, claimed=2**32 - 1, extra=zip64(2**60)),
        ["claim to unpack to 1152921504606"],
    ),
    "zip64, offset": (lambda: labels(offset=2**32 - 1, extra=zip64(2**62)), []),
    "zip64, cut": (lambda: labels(claimed=2**32 - 1, extra=zip64(2**60)[:7]), []),
    "a bomb that says what it is": (
        lambda: corpus(Entry("features/x.npy", BOMB, 8)),
        ["claim to unpack"],
    ),
    "a bomb that claims less": (
        lambda: corpus(
            change=Entry("split.npy", array(arrays()["split"]) + BOMB, 8, claimed=188)
        ),
        ["split.npy", "more than the 188 bytes"],
    ),
    "a bomb in a header": (
        lambda: corpus(change=Entry("labels.npy", SPACES, 8, claimed=1000)),
        ["labels"],
    ),
    "deflated, less than claimed": (lambda: labels(packing=8, claimed=9999), ["labels"]),
    "deflated, cut": (lambda: labels(packing=8, packed=60), ["labels.npy"]),
    "deflated, bytes after it": (lambda: labels(packing=8, packed=200), ["labels.npy"]),
    "objects": (
        lambda: corpus(change=Entry("labels.npy", array(np.array([{}] * 6, object)))),
        ["labels", "object"],
    ),
    "a header of deep brackets": (
        lambda: corpus(change=Entry("labels.npy", b"\x93NUMPY\1\0\x20\x4e" + b"(" * 20000)),
        ["labels", "header"],
    ),
    "a header of many signs": (
        lambda: corpus(change=Entry("labels.npy", b"\x93NUMPY\1\0\x10\x27" + b"-" * 9999 + b"1")),
        ["labels", "header"],
    ),
    "a header that warns": (
        lambda: corpus(
            change=Entry("labels.npy", header("(6,)").replace(b"'<f4'", b"'\\\\d'"))
        ),
        [],
    ),
    "a header of as many signs as may be": (
        lambda: corpus(change=Entry("labels.npy", b"\x93NUMPY\1\0\xe0\3" + b"-" * 991 + b"1")),
        ["labels", "unreadable"],
    ),
    "many members": (lambda: [Entry(str(i)) for i in range(10_001)], ["10001 members"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded():
    with guard.Guard(openers.corpus, "case.npz", 5.0) as made:
        yield made


@pytest.fixture(scope="module")
def baseline(guarded):
    return guarded.check({"case.npz": b"x"}).memory


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_without_the_memory(guarded, baseline, name):
    entries, words = REFUSED[name]
    verdict = guarded.check({"case.npz": written(entries())})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    for word in ["case.npz", *words]:
        assert word in verdict.detail
    assert verdict.memory - baseline < MEMORY


def test_a_member_within_another_is_refused(tmp_path):
    inner = Entry("split.npy", array(arrays()["split"]))
    hidden = written([inner])
    start = hidden[: hidden.index(b"PK\1\2")]
    entries = [e for e in corpus() if e.name != "split.npy"]
    before = written([*entries, Entry("features/x.npy", start)])
    at = before.index(start)
    path = tmp_path / "c.npz"
    path.write_bytes(
        written([*entries, Entry("features/x.npy", start), dataclasses.replace(inner, offset=at)])
    )
    with pytest.raises(InputError, match=r"split\.npy: overlaps member features/x\.npy"):
        npz.read(path)


@pytest.mark.parametrize("packing", [0, 8])
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_chunks_are_the_content_in_bounded_pieces(tmp_path, packing, size):
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "a.zip"
    path.write_bytes(written([Entry("x", content, packing)]))
    with path.open("rb") as file:
        (member,) = archive.members(path, file)
        pieces = list(archive.chunks(file, member))
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


def refusal(tmp_path, entries):
    """What is said of an archive, beside its own path, after every member was read to its end."""
    path = tmp_path / "c.npz"
    path.write_bytes(written(entries))
    with path.open("rb") as file, pytest.raises(InputError) as error:
        [list(archive.chunks(file, member)) for member in archive.members(path, file)]
    return str(error.value).removeprefix(str(path))


def deflated(content, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def of_a_piece():
    """Content that packs to exactly a MiB, what is read of a member at once."""
    spare = len(deflated(bytes(1 << 20), 0)) - (1 << 20)
    sizes = range((1 << 20) - spare, 1 << 20)
    return next(bytes(n) for n in sizes if len(deflated(bytes(n), 0)) == 1 << 20)


SAID = {
    "leaves": (lambda: [Entry("../x")], ": ../x: a path that leaves the archive"),
    "encrypted": (lambda: [Entry("x", flags=0x1)], ": x: encrypted; expected an array that can"),
    "strongly": (lambda: [Entry("x", flags=0x40)], ": x: encrypted; expected an array that can"),
    "masked": (lambda: [Entry("x", flags=0x2000)], ": x: encrypted; expected an array that can"),
    "more than claimed": (
        lambda: [Entry("x", b"abc", 8, claimed=2)],
        ": x: unpacks to more than the 2 bytes that it claims; expected a complete member",
    ),
    "a byte after": (
        lambda: [Entry("x", b"abc", 8, raw=deflated(b"abc") + b"!")],
        ": x: bytes after its content; expected a complete member",
    ),
    "a byte in the piece after": (
        lambda: [Entry("x", of_a_piece(), 8, raw=deflated(of_a_piece(), 0) + b"!")],
        ": x: bytes after its content; expected a complete member",
    ),
    "one member too many": (
        lambda: [Entry(str(i)) for i in range(10_001)],
        ": 10001 members; expected at most 10000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_said(tmp_path, name):
    entries, said = SAID[name]
    assert refusal(tmp_path, entries()).startswith(said)


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(written([Entry("x", bytes(3 << 20))]))
    with path.open("rb") as file:
        (member,) = archive.members(path, file)
        pieces = archive.chunks(file, member)
        next(pieces)
        os.truncate(path, member.offset + (1 << 20))
        with pytest.raises(InputError, match="x: ends before its last byte"):
            list(pieces)


def test_what_is_just_allowed_is_read(tmp_path):
    path = tmp_path / "c.npz"

    def count(entries):
        path.write_bytes(written(entries))
        with path.open("rb") as file:
            return len(archive.members(path, file))

    assert count([Entry(str(i)) for i in range(10_000)]) == 10_000
    # 64 MiB are free for a small file; a large one may claim 200 times its size.
    for others in ([], [Entry("y", bytes(1 << 20))]):
        honest = [*others, Entry("x", b"abc", 8)]
        most = max(64 << 20, 200 * len(written(honest)))
        for claimed, allowed in ((most, True), (most + 1, False)):
            entries = [*others, Entry("x", b"abc", 8, claimed=claimed)]
            if allowed:
                assert count(entries) == len(entries)
            else:
                assert f"claim to unpack to {claimed}" in refusal(tmp_path, entries)
