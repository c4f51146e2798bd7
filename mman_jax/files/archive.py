"""Untrusted ZIP archives: every member is checked before it is read, in bounded memory."""

import dataclasses
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mman_jax.errors import InputError

_EXPECTED = "an archive that NumPy wrote"
_CHUNK = 1 << 20

# A small file must not be able to ask for much memory.
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 200

_ENCRYPTED, _PATCHED, _STRONG, _MASKED = 0x1, 0x20, 0x40, 0x2000
_MOST_MEMBERS = 10_000
_PACKINGS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes:
        name: Path in the archive: relative, and without `..`.
        place: The archive and the name, for messages.
        size: Claimed number of bytes of the content; `chunks` checks it.
        offset: Offset of its bytes in the file.
        packed: Number of these bytes.
        stored: Whether these bytes are the content, uncompressed.
        checksum: CRC-32 of the content.
    """

    name: str
    place: str
    size: int
    offset: int
    packed: int
    stored: bool
    checksum: int


def members(path: Path, file: BinaryIO) -> list[Member]:
    """Returns the members by the archive's directory, without unpacking any.

    Raises:
        InputError: A name that leaves the archive or occurs twice, an encrypted member, a
            compression that NumPy does not use, members that overlap or reach beyond the file,
            a header that contradicts the directory, or a claim of more than the file can hold.
        Exception: Of any kind, if the bytes are no archive.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(file) as archive:
        infos, directory = archive.infolist(), archive.start_dir
        end = 22 + len(archive.comment)
    file.seek(-end, 2)
    (count,) = struct.unpack("<10xH10x", file.read(22))
    if count != len(infos):  # an entry may hide in the bytes that another one claims
        raise InputError(path, f"{len(infos)} members of {count} in the directory", _EXPECTED)
    if len(infos) > _MOST_MEMBERS:
        raise InputError(path, f"{len(infos)} members", f"at most {_MOST_MEMBERS}")
    by_name: dict[str, Member] = {}
    for info in infos:
        _check_entry(path, info)
        if info.filename in by_name:
            raise InputError(f"{path}: {info.filename}", "occurs twice", "each member once")
        by_name[info.filename] = _locate(path, file, info)
    end, previous = 0, ""
    for member in sorted(by_name.values(), key=lambda m: m.offset):
        if member.offset < end:
            raise InputError(member.place, f"overlaps member {previous}", _EXPECTED)
        end, previous = member.offset + member.packed, member.name
        if end > directory:
            found = f"{member.packed} bytes claimed of {directory - member.offset} in the file"
            raise InputError(member.place, found, "a complete member")
    claimed = sum(member.size for member in by_name.values() if not member.stored)
    if claimed > max(_FREE_BYTES, _LARGEST_RATIO * size):
        found = f"{size} bytes that claim to unpack to {claimed}"
        raise InputError(path, found, f"at most {_LARGEST_RATIO} times the file's size")
    return list(by_name.values())


def keys(path: Path) -> list[str]:
    """Returns the keys of an .npz archive; none if the file is no archive."""
    try:
        with path.open("rb") as file:
            return [member.name.removesuffix(".npy") for member in members(path, file)]
    except Exception:
        # Bytes that are no archive can fail in any way; the reader of the file reports how.
        return []


def chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """Yields the content of a member in pieces of at most a MiB; at the end checks its checksum.

    Raises:
        InputError: The content is damaged, or of another size than claimed.
        zlib.error: The bytes are not deflated.
    """
    unpacker = None if member.stored else zlib.decompressobj(-zlib.MAX_WBITS)
    position, left, size, checksum = member.offset, member.packed, 0, 0
    waiting = b""
    while True:
        if not waiting and left:
            file.seek(position)
            waiting = file.read(min(left, _CHUNK))
            if not waiting:
                raise InputError(member.place, "ends before its last byte", "a complete member")
            position, left = position + len(waiting), left - len(waiting)
        if unpacker is None:
            content, waiting = waiting, b""
        else:
            content = unpacker.decompress(waiting, _CHUNK)
            waiting = unpacker.unconsumed_tail
        size, checksum = size + len(content), zlib.crc32(content, checksum)
        if size > member.size:
            found = f"unpacks to more than the {member.size} bytes that it claims"
            raise InputError(member.place, found, "a complete member")
        if unpacker is not None and unpacker.eof and (left or unpacker.unused_data):
            raise InputError(member.place, "bytes after its content", "a complete member")
        if content:
            yield content
        if not waiting and not left and not content:
            break
    complete = unpacker is None or unpacker.eof
    if not complete or size != member.size or checksum != member.checksum:
        found = f"truncated or damaged ({size} bytes of {member.size})"
        raise InputError(member.place, found, "the content that was written")


def _check_entry(path: Path, info: zipfile.ZipInfo) -> None:
    place = f"{path}: {info.filename}"
    parts = PurePosixPath(info.filename).parts
    climbs = ".." in parts or info.filename.startswith("/") or "\\" in info.filename
    if climbs or ":" in info.filename:
        raise InputError(place, "a path that leaves the archive", "names of arrays")
    if info.orig_filename != info.filename or not info.filename.isprintable() or not parts:
        raise InputError(place, "an unusable name", "names of arrays")
    if info.flag_bits & (_ENCRYPTED | _STRONG | _MASKED):
        raise InputError(place, "encrypted", "an array that can be read")
    if info.compress_type not in _PACKINGS or info.flag_bits & _PATCHED:
        found = f"packed by method {info.compress_type}"
        raise InputError(place, found, " or ".join(_PACKINGS.values()))
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        found = f"{info.file_size} bytes claimed of {info.compress_size} in the file"
        raise InputError(place, found, "a complete member")


def _locate(path: Path, file: BinaryIO, info: zipfile.ZipInfo) -> Member:
    """Returns the member after comparing its own header with the directory."""
    place = f"{path}: {info.filename}"
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise InputError(place, "no header where the directory says", _EXPECTED)
    flags, method, name_size, extra = struct.unpack("<6x2H16x2H", header)
    name = file.read(name_size).decode("utf-8" if flags & 0x800 else "cp437")
    if name != info.filename or method != info.compress_type or flags != info.flag_bits:
        raise InputError(place, "a header that contradicts the directory", _EXPECTED)
    return Member(
        info.filename,
        place,
        info.file_size,
        info.header_offset + 30 + name_size + extra,
        info.compress_size,
        info.compress_type == zipfile.ZIP_STORED,
        info.CRC,
    )
