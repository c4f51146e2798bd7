"""Archives with false headers, written byte by byte."""

import dataclasses
import os
import struct
import zlib

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.files import archive
from tests.data.readers.public_folders import npy
from tests.data.small import arrays, header, refuses
from tests.robustness import guard

MEMORY = 300 << 20  # above what the watched process holds without a case


@dataclasses.dataclass
class Entry:
    """A member, and the false claims of its headers."""

    name: str
    content: bytes = b""
    packing: int = 0
    flags: int = 0
    claimed: int | None = None
    packed: int | None = None
    local_name: str | None = None
    offset: int | None = None
    extra: bytes = b""


def deflated(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def written(entries):
    """The bytes of an archive."""
    out, directory = b"", b""
    for e in entries:
        data = deflated(e.content) if e.packing == 8 else e.content
        size = len(e.content) if e.claimed is None else e.claimed
        packed = len(data) if e.packed is None else e.packed
        crc = zlib.crc32(e.content[:size])
        offset = len(out) if e.offset is None else e.offset
        common = struct.pack("<HHHHHIII", 20, e.flags, e.packing, 0, 33, crc, packed, size)
        local, name = (e.local_name or e.name).encode(), e.name.encode()
        if e.offset is None:
            out += b"PK\3\4" + common + struct.pack("<HH", len(local), 0) + local + data
        tail = struct.pack("<HHHHHII", len(name), len(e.extra), 0, 0, 0, 0, offset)
        directory += b"PK\1\2" + struct.pack("<H", 20) + common + tail + name + e.extra
    end = (0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return out + directory + b"PK\5\6" + struct.pack("<HHHHIIH", *end)


def corpus(*others, **changes):
    """The small corpus; further members are added, and named ones replaced."""
    entries = {key: Entry(f"{key}.npy", npy(value)) for key, value in arrays().items()}
    entries |= {key: Entry(f"{key}.npy", **change) for key, change in changes.items()}
    return [*entries.values(), *others]


def labels(content=None, **lies):
    content = npy(arrays()["labels"]) if content is None else content
    return corpus(labels={"content": content} | lies)


def extra(name, content=b"", *how, **lies):
    return corpus(Entry(name, content, *how, **lies))


def zip64(*values):
    return struct.pack("<HH", 1, 8 * len(values)) + struct.pack(f"<{len(values)}Q", *values)


@pytest.mark.parametrize("packing", [0, 8])
def test_true_headers_are_read(tmp_path, packing):
    (tmp_path / "c.npz").write_bytes(written(labels(packing=packing)))
    assert npz.read(tmp_path / "c.npz").labels.tolist() == arrays()["labels"].tolist()


BOMB = bytes(300 << 20)
SPACES = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * (300 << 20)
FIELD = 2**32 - 1  # the true value is in the extra field
NAMES = ("../labels.npy", "features/../../x.npy", "/labels.npy", "features/..\\x.npy", "C:/x.npy")
REFUSED = {
    **{f"name {n}": (lambda n=n: extra(n, b"x"), [n, "leaves the archive"]) for n in NAMES},
    "a NUL in a name": (lambda: extra("x.npy\0y"), ["x.npy", "unusable name"]),
    "a name that controls a terminal": (lambda: extra("\x1b[2J"), ["unusable name"]),
    "a folder": (lambda: extra("features/"), ["features/"]),
    "twice": (lambda: extra("labels.npy", b"x"), ["labels.npy", "twice"]),
    "twice, once without suffix": (lambda: extra("labels", b"x"), ["labels", "twice"]),
    "encrypted": (lambda: labels(flags=1), ["labels.npy", "encrypted"]),
    "strongly encrypted": (lambda: labels(flags=0x40), ["labels.npy"]),
    "patch data": (lambda: labels(flags=0x20), ["labels.npy"]),
    "bzip2": (lambda: labels(packing=12), ["labels.npy", "method 12"]),
    "lzma": (lambda: labels(packing=14), ["labels.npy", "method 14"]),
    "another local name": (lambda: labels(local_name="speakers.npy"), ["labels", "differ"]),
    "the header of another": (lambda: labels(offset=0), ["labels.npy"]),
    "no header there": (lambda: labels(offset=7), ["labels.npy", "no header"]),
    "beyond the file": (lambda: labels(offset=2**31), ["labels.npy", "no header"]),
    "stored, more claimed": (lambda: labels(claimed=2**31), ["labels.npy", "claimed"]),
    "stored, into the next": (lambda: labels(claimed=500, packed=500), ["overlaps", "labels.npy"]),
    "stored, over the end": (lambda: extra("x.npy", b"x", claimed=9999, packed=9999),
                             ["x.npy", "9999 bytes claimed"]),
    "zip64, size": (lambda: labels(claimed=FIELD, packed=FIELD, extra=zip64(2**60, 2**60)),
                    ["labels.npy"]),
    "zip64, deflated size": (lambda: labels(packing=8, claimed=FIELD, extra=zip64(2**60)),
                             ["claim to unpack to 1152921504606"]),
    "zip64, offset": (lambda: labels(offset=FIELD, extra=zip64(2**62)), []),
    "zip64, cut": (lambda: labels(claimed=FIELD, extra=zip64(2**60)[:7]), []),
    "a bomb": (lambda: extra("features/x.npy", BOMB, 8), ["claim to unpack"]),
    "a bomb in a header": (lambda: labels(SPACES, packing=8, claimed=1000), ["labels"]),
    "deflated, less than claimed": (lambda: labels(packing=8, claimed=9999), ["labels"]),
    "deflated, cut": (lambda: labels(packing=8, packed=60), ["labels.npy"]),
    "objects": (lambda: labels(npy(np.array([{}] * 6, object))), ["labels", "object"]),
    "a header of deep brackets": (lambda: labels(b"\x93NUMPY\1\0\x20\x4e" + b"(" * 20000),
                                  ["labels", "header"]),
    "a header of many signs": (lambda: labels(b"\x93NUMPY\1\0\x10\x27" + b"-" * 9999 + b"1"),
                               ["labels", "header"]),
    "a header of fewer signs": (lambda: labels(b"\x93NUMPY\1\0\xe0\3" + b"-" * 991 + b"1"),
                                ["labels", "unreadable"]),
    "a header that warns": (lambda: labels(header("(6,)").replace(b"'<f4'", b"'\\\\d'")), []),
    "many members": (lambda: [Entry(str(i)) for i in range(10_001)], ["10001 members"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_false_headers_are_refused_by_name_and_take_little_memory(guarded, baseline, name):
    entries, words = REFUSED[name]
    verdict = guarded.check({"case.npz": written(entries())})
    assert verdict.outcome == guard.REFUSAL, verdict.detail
    for word in ["case.npz", *words]:
        assert word in verdict.detail
    assert verdict.memory - baseline < MEMORY


def test_a_member_within_another_is_refused(tmp_path):
    split = Entry("split.npy", npy(arrays()["split"]))
    hidden = written([split])
    hidden = hidden[: hidden.index(b"PK\1\2")]
    entries = [*(e for e in corpus() if e.name != split.name), Entry("features/x.npy", hidden)]
    offset = written(entries).index(hidden)
    (tmp_path / "c.npz").write_bytes(written([*entries, dataclasses.replace(split, offset=offset)]))
    refuses(lambda: npz.read(tmp_path / "c.npz"), "split.npy: overlaps member features/x.npy")


def read(path, entries):
    """Reads every member of an archive to its end; returns the members' pieces."""
    path.write_bytes(written(entries))
    with path.open("rb") as file:
        return [list(archive.chunks(member)) for member in archive.members(path, file).values()]


@pytest.mark.parametrize("packing", [0, 8])
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_members_are_read_in_bounded_pieces(tmp_path, packing, size):
    content = np.random.default_rng(size).bytes(size)
    (pieces,) = read(tmp_path / "a.zip", [Entry("x", content, packing)])
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


def test_a_file_that_is_truncated_while_it_is_read(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(written([Entry("x", bytes(3 << 20))]))
    with path.open("rb") as file:
        (member,) = archive.members(path, file).values()
        pieces = archive.chunks(member)
        next(pieces)
        os.truncate(path, member.offset + (1 << 20))
        refuses(lambda: list(pieces), "c.npz: x: ")


def test_limits_are_inclusive(tmp_path):
    assert len(read(tmp_path / "c.npz", [Entry(str(i)) for i in range(10_000)])) == 10_000
    # A small file may claim 64 MiB, and a large one 200 times its size.
    for others in ([], [Entry("y", bytes(1 << 20))]):
        honest = written([*others, Entry("x", b"abc", 8)])
        most = max(64 << 20, 200 * len(honest))
        for claimed, words in ((most, "x: "), (most + 1, f"claim to unpack to {most + 1}")):
            entries = [*others, Entry("x", b"abc", 8, claimed=claimed)]
            refuses(lambda entries=entries: read(tmp_path / "c.npz", entries), words)
