"""Untrusted ZIP archives: every member is checked before it is read, in bounded memory."""

import dataclasses
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mman_jax.errors import InputError, reading

_EXPECTED = "an archive that NumPy wrote"
_CHUNK = 1 << 20

# Limits on the memory that a small file can request.
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 200

_MOST_MEMBERS = 10_000
_PACKINGS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes:
        name: Path in the archive: relative, and without `..`.
        place: The archive and the name, for messages.
        size: Claimed number of bytes of the content; `chunks` checks it.
        offset: Offset of its data in the file.
        stored: Whether the data are uncompressed.
        content: The archive and the member, for `chunks`.
    """

    name: str
    place: str
    size: int
    offset: int
    stored: bool
    content: tuple[zipfile.ZipFile, zipfile.ZipInfo]


def members(path: Path, file: BinaryIO) -> dict[str, Member]:
    """Returns the members by name without `.npy`, without unpacking any.

    Raises:
        InputError: A name that leaves the archive or occurs twice, a compression that NumPy does
            not use, members that overlap or reach beyond the file, a missing header, or a claim of
            more than the file can hold.
        Exception: Of any kind, if the bytes are not an archive.
    """
    size = path.stat().st_size
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    file.seek(-22 - len(archive.comment), 2)
    (count,) = struct.unpack("<10xH10x", file.read(22))
    if count != len(infos):  # an entry may be hidden inside another one
        raise InputError(path, f"{len(infos)} members of {count} in the directory", _EXPECTED)
    if len(infos) > _MOST_MEMBERS:
        raise InputError(path, f"{len(infos)} members", f"at most {_MOST_MEMBERS}")
    by_key: dict[str, Member] = {}
    for info in infos:
        place = f"{path}: {info.filename}"
        key = info.filename.removesuffix(".npy")
        if key in by_key:
            found = f"occurs twice, as {key!r} and as {key + '.npy'!r}"
            raise InputError(f"{path}: {key}", found, "each key once")
        _check_entry(place, info)
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            raise InputError(place, "no header where the directory says", _EXPECTED)
        offset = info.header_offset + 30 + sum(struct.unpack("<26x2H", header))
        stored = info.compress_type == zipfile.ZIP_STORED
        size_of, content = info.file_size, (archive, info)
        by_key[key] = Member(info.filename, place, size_of, offset, stored, content)
    end, previous = 0, ""
    for member in sorted(by_key.values(), key=lambda m: m.offset):
        if member.offset < end:
            raise InputError(member.place, f"overlaps member {previous}", _EXPECTED)
        packed = member.content[1].compress_size
        end, previous = member.offset + packed, member.name
        if end > archive.start_dir:
            found = f"{packed} bytes claimed of {archive.start_dir - member.offset} in the file"
            raise InputError(member.place, found, "a complete member")
    claimed = sum(member.size for member in by_key.values() if not member.stored)
    if claimed > max(_FREE_BYTES, _LARGEST_RATIO * size):
        found = f"{size} bytes that claim to unpack to {claimed}"
        raise InputError(path, found, f"at most {_LARGEST_RATIO} times the file's size")
    return by_key


def keys(path: Path) -> list[str]:
    """Returns the keys of an .npz archive; empty if the file is not an archive."""
    try:
        with path.open("rb") as file:
            return list(members(path, file))
    except Exception:
        # A file that is not an archive can raise anything; its reader reports the error.
        return []


def chunks(member: Member) -> Iterator[bytes]:
    """Yields the content of a member in pieces of at most a MiB; at the end checks its checksum.

    Raises:
        InputError: The member is encrypted, its header contradicts the directory, or its content
            is damaged or of another size than claimed.
    """
    archive, info = member.content
    with reading(member.place, "an undamaged member"), archive.open(info) as content:
        size = 0
        while piece := content.read(_CHUNK):
            size += len(piece)
            yield piece
        if size != member.size:
            raise InputError(member.place, f"{size} bytes of {member.size}", "a complete member")


def _check_entry(place: str, info: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(info.filename).parts
    leaves = ".." in parts or info.filename.startswith("/") or "\\" in info.filename
    if leaves or ":" in info.filename:
        raise InputError(place, "a path that leaves the archive", "names of arrays")
    if info.orig_filename != info.filename or not info.filename.isprintable() or not parts:
        raise InputError(place, "an unusable name", "names of arrays")
    if info.compress_type not in _PACKINGS:
        found = f"packed by method {info.compress_type}"
        raise InputError(place, found, " or ".join(_PACKINGS.values()))
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        found = f"{info.file_size} bytes claimed of {info.compress_size} in the file"
        raise InputError(place, found, "a complete member")
